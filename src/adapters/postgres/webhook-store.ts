/** Webhooks and their deliveries, for administrators. */
import { instant } from '../../domain/types.js';
import type { Delivery, DeliveryState, SendError } from '../../domain/webhooks.js';
import type { WebhookStore } from '../../ports/webhook-store.js';
import { appendAudit, auditInsert, auditValues } from './audit.js';
import type { Database, Statement } from './database.js';
import {
  type EndpointRow,
  endpointColumns,
  latestSeal,
  lockEndpoint,
  storeEndpoint,
  toDate,
  toEndpoint,
  toInstant,
} from './webhook-rows.js';

/** Held while one is added, so that two at once are counted one after the other. */
const LOCK = '7310868735422866533';

const list: Statement = {
  name: 'webhook_list',
  text: `SELECT ${endpointColumns} FROM webhook_endpoints AS e ORDER BY e.id`,
};
const find: Statement = {
  name: 'webhook_find',
  text: `SELECT ${endpointColumns} FROM webhook_endpoints AS e WHERE e.id = $1`,
};
const lockAll: Statement = { name: 'webhook_lock_all', text: `SELECT pg_advisory_xact_lock(${LOCK})` };
const create: Statement = {
  name: 'webhook_create',
  text: `WITH made AS (
      INSERT INTO webhook_endpoints (id, url, events, description, sealed_secrets, kek_id, created_at, seal)
      SELECT $1::uuid, $2, $3::text[], $4, $5::bytea, $6, $7::timestamptz, ${latestSeal}
      WHERE (SELECT count(*) FROM webhook_endpoints) < $8::integer RETURNING id
    ), audited AS (${auditInsert(9, 'FROM made')})
    SELECT id FROM made`,
};
const setSecrets: Statement = {
  name: 'webhook_set_secrets',
  text: `WITH changed AS (
      UPDATE webhook_endpoints SET sealed_secrets = $3, kek_id = $4, previous_until = $5
      WHERE id = $1 AND sealed_secrets = $2 RETURNING id
    ), audited AS (${auditInsert(6, 'FROM changed')})
    SELECT id FROM changed`,
};
const remove: Statement = { name: 'webhook_delete', text: 'DELETE FROM webhook_endpoints WHERE id = $1' };
const removeUntaken: Statement = {
  name: 'webhook_delete_untaken',
  text: `DELETE FROM webhook_deliveries
    WHERE endpoint_id = $1 AND state = 'pending' OR endpoint_id = $1 AND state = 'failed'`,
};

const deliveryColumns = `id, event_id::text AS "eventId", event, state, attempts, made_at, next_at, last_at,
  last_status AS "lastStatus", last_error AS "lastError"`;

const addDelivery: Statement = {
  name: 'webhook_delivery_add',
  text: `WITH made AS (
      INSERT INTO webhook_deliveries (id, endpoint_id, event, body, made_at, next_at)
      SELECT $1::uuid, id, $3, $4, $5::timestamptz, $5 FROM webhook_endpoints
      WHERE id = $2 AND disabled_at IS NULL FOR SHARE RETURNING *
    ), audited AS (${auditInsert(6, 'FROM made')})
    SELECT ${deliveryColumns} FROM made`,
};
/** A text of its own for each state, so that an index serves those that failed among many that did not. */
const deliveriesIn = (state: DeliveryState | null): Statement => ({
  name: `webhook_deliveries_${state ?? 'all'}`,
  text: `SELECT ${deliveryColumns} FROM webhook_deliveries
    WHERE endpoint_id = $1 AND ($2::uuid IS NULL OR id < $2) ${state === null ? '' : `AND state = '${state}'`}
    ORDER BY webhook_deliveries.id DESC LIMIT $3`,
});
const findDelivery: Statement = {
  name: 'webhook_delivery_find',
  text: `SELECT ${deliveryColumns} FROM webhook_deliveries WHERE endpoint_id = $1 AND id = $2`,
};
/** What is due later than any lease lasts is in nobody's hands. */
const retry: Statement = {
  name: 'webhook_deliveries_retry',
  text: `WITH retried AS (
      UPDATE webhook_deliveries SET state = 'pending', attempts = 0, made_at = $3, next_at = $3, expires_at = NULL
      WHERE endpoint_id = $1 AND ($2::uuid IS NULL OR id = $2)
        AND (state = 'failed' OR state = 'pending' AND next_at > $3::timestamptz + interval '2 minutes') RETURNING id
    )
    SELECT count(*)::integer AS retried FROM retried`,
};

interface DeliveryRow extends Pick<Delivery, 'id' | 'eventId' | 'event' | 'attempts' | 'lastStatus'> {
  state: DeliveryState;
  made_at: Date;
  next_at: Date | null;
  last_at: Date | null;
  lastError: SendError | null;
}

const toDelivery = ({ made_at, next_at, last_at, ...row }: DeliveryRow): Delivery => ({
  ...row,
  madeAt: instant(made_at.getTime()),
  nextAt: toInstant(next_at),
  lastAt: toInstant(last_at),
});

export const createWebhookStore = (database: Database): WebhookStore => ({
  async list() {
    return (await database.query<EndpointRow>(list, [])).map(toEndpoint);
  },

  async find(id) {
    const [row] = await database.query<EndpointRow>(find, [id]);
    return row === undefined ? null : toEndpoint(row);
  },

  async create({ id, url, events, description, secrets, createdAt }, most, audit) {
    return database.transaction(async (sql) => {
      await sql.query(lockAll, []);
      const values = [id, url, [...events], description, secrets.sealed, secrets.kekId, toDate(createdAt), most];
      return (await sql.query(create, [...values, ...auditValues(audit)])).length > 0;
    });
  },

  async change(id, decide, at) {
    return database.transaction(async (sql) => {
      const before = await lockEndpoint(sql, id);
      if (before === null) return null;
      const { changes, audit } = decide(before);
      await appendAudit(sql, audit);
      return storeEndpoint(sql, before, changes, at);
    });
  },

  async setSecrets({ id, secrets }, after, audit) {
    const { sealed, kekId } = after.secrets;
    const values = [id, secrets.sealed, sealed, kekId, toDate(after.previousUntil)];
    return (await database.query(setSecrets, [...values, ...auditValues(audit)])).length > 0;
  },

  async delete(id, audit) {
    return database.transaction(async (sql) => {
      // Locked first: what somebody is adding to it is seen then.
      if ((await lockEndpoint(sql, id)) === null) return false;
      await sql.query(removeUntaken, [id]);
      await sql.query(remove, [id]);
      await appendAudit(sql, audit);
      return true;
    });
  },

  async addDelivery(endpointId, { id, event, body }, at, audit) {
    const values = [id, endpointId, event, body, toDate(at)];
    const [row] = await database.query<DeliveryRow>(addDelivery, [...values, ...auditValues(audit)]);
    return row === undefined ? null : toDelivery(row);
  },

  async deliveries(endpointId, state, after, limit) {
    const rows = await database.query<DeliveryRow>(deliveriesIn(state), [endpointId, after, limit]);
    return rows.map(toDelivery);
  },

  async findDelivery(endpointId, id) {
    const [row] = await database.query<DeliveryRow>(findDelivery, [endpointId, id]);
    return row === undefined ? null : toDelivery(row);
  },

  async retry(endpointId, deliveryId, at, audit) {
    return database.transaction(async (sql) => {
      const endpoint = await lockEndpoint(sql, endpointId);
      if (endpoint === null || endpoint.disabledAt !== null) return 0;
      const [row] = await sql.query<{ retried: number }>(retry, [endpointId, deliveryId, toDate(at)]);
      const retried = row?.retried ?? 0;
      if (retried > 0) await appendAudit(sql, audit(retried));
      return retried;
    });
  },
});
