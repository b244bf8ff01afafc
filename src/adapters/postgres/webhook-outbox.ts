/**
 * The outbox of webhooks. What becomes a delivery is taken seal by seal of the audit trail, since no event can appear any
 * more among those that are sealed: ids are not in the order of the commits. An endpoint is locked before its deliveries,
 * always in this order.
 */
import { instant } from '../../domain/types.js';
import type { Settlement } from '../../domain/webhook-retries.js';
import type { NewDelivery } from '../../domain/webhooks.js';
import type { Claimed, WebhookOutbox } from '../../ports/webhook-outbox.js';
import { appendAudit } from './audit.js';
import { type RecordRow, recordColumns, toRecord } from './audit-records.js';
import type { Database, Sql, Statement } from './database.js';
import {
  type EndpointRow,
  endpointColumns,
  latestSeal,
  lockEndpoint,
  storeEndpoint,
  toDate,
  toEndpoint,
} from './webhook-rows.js';

const active: Statement = {
  name: 'webhook_active',
  text: `SELECT id, seal < ${latestSeal} AS "isBehind" FROM webhook_endpoints WHERE disabled_at IS NULL ORDER BY id`,
};

/** Another node that is at it is not waited for. */
const lockToFill: Statement = {
  name: 'webhook_lock_to_fill',
  text: `SELECT ${endpointColumns}, e.seal::integer, (
      SELECT count(*) FROM (
        SELECT FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 'pending' LIMIT $2::integer
      ) AS pending
    ) >= $2::integer AS "isFull" FROM webhook_endpoints AS e
    WHERE e.id = $1 AND e.disabled_at IS NULL FOR NO KEY UPDATE SKIP LOCKED`,
};

const nextSeal: Statement = {
  name: 'webhook_next_seal',
  text: `SELECT sequence::integer, first_id::text AS "firstId", last_id::text AS "lastId" FROM audit_seals
    WHERE audit_seals.sequence > $1 ORDER BY audit_seals.sequence LIMIT 1`,
};

const eventsOf: Statement = {
  name: 'webhook_events',
  text: `SELECT ${recordColumns} FROM audit_events WHERE audit_events.id BETWEEN $1 AND $2 ORDER BY audit_events.id`,
};

const insert: Statement = {
  name: 'webhook_deliveries_insert',
  text: `INSERT INTO webhook_deliveries (id, endpoint_id, event_id, event, body, made_at, next_at)
    SELECT id, $1, "eventId", event, body, $3, $3
    FROM json_to_recordset($2::json) AS made (id uuid, "eventId" bigint, event text, body text)`,
};

const moveOn: Statement = { name: 'webhook_move_on', text: 'UPDATE webhook_endpoints SET seal = $2 WHERE id = $1' };

/**
 * So many of each endpoint as it has room for, and then those first that have least under way: one that has much to send
 * leaves the others theirs.
 */
const claim: Statement = {
  name: 'webhook_claim',
  text: `WITH mine AS MATERIALIZED (
      SELECT due.id FROM webhook_endpoints AS e CROSS JOIN LATERAL (
        SELECT coalesce(($4::json ->> e.id::text)::integer, 0) AS count
      ) AS under_way CROSS JOIN LATERAL (
        SELECT d.id, d.next_at, d.event_id FROM webhook_deliveries AS d
        WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_at <= $1
        ORDER BY d.next_at, d.event_id LIMIT greatest($3::integer - under_way.count, 0)
        FOR NO KEY UPDATE SKIP LOCKED
      ) AS due
      WHERE e.disabled_at IS NULL AND (e.not_before IS NULL OR e.not_before <= $1)
        AND (e.failing_since IS NOT NULL) = $5::boolean
      ORDER BY under_way.count, due.next_at, due.event_id LIMIT $6::integer
    ), claimed AS (
      UPDATE webhook_deliveries AS d SET attempts = d.attempts + 1, next_at = $2 FROM mine WHERE d.id = mine.id
      RETURNING d.*
    )
    SELECT c.id AS delivery_id, c.event, c.body, c.made_at, c.attempts, ${endpointColumns}
    FROM claimed AS c JOIN webhook_endpoints AS e ON e.id = c.endpoint_id ORDER BY c.event_id`,
};

/** The number of the attempt tells whether it is still this node's. */
const settleWhere = (name: string, condition: string): Statement => ({
  name,
  text: `UPDATE webhook_deliveries SET state = $3, next_at = $4, last_at = $5, last_status = $6, last_error = $7,
      expires_at = $8, body = CASE WHEN $3 = 'delivered' THEN NULL ELSE body END
    WHERE id = $1 AND attempts = $2 AND state = 'pending' AND ${condition} RETURNING id`,
});
const settle = settleWhere('webhook_settle', 'true');
/** With nothing to say of the endpoint, unless somebody has found it failing meanwhile. */
const settleAlone = settleWhere(
  'webhook_settle_alone',
  'NOT EXISTS (SELECT FROM webhook_endpoints AS e WHERE e.id = endpoint_id AND e.failing_since IS NOT NULL)',
);

const release: Statement = {
  name: 'webhook_release',
  text: `UPDATE webhook_deliveries SET attempts = attempts - 1, next_at = $3
    WHERE id = $1 AND attempts = $2 AND state = 'pending'`,
};

const backlog: Statement = {
  name: 'webhook_backlog',
  text: `SELECT count(*)::integer AS pending, min(made_at) AS oldest,
      (SELECT count(*)::integer FROM webhook_endpoints WHERE disabled_at IS NOT NULL) AS disabled
    FROM (SELECT made_at FROM webhook_deliveries WHERE state = 'pending' ORDER BY id LIMIT $1) AS pending`,
};

type ClaimedRow = EndpointRow & { delivery_id: string; event: string; body: string; made_at: Date; attempts: number };

const toClaimed = (row: ClaimedRow): Claimed => ({
  id: row.delivery_id,
  event: row.event,
  body: row.body,
  madeAt: instant(row.made_at.getTime()),
  attempt: row.attempts,
  endpoint: toEndpoint(row),
});

async function storeDeliveries(sql: Sql, endpointId: string, made: NewDelivery[], at: Date | null): Promise<void> {
  if (made.length > 0) await sql.query(insert, [endpointId, JSON.stringify(made), at]);
}

async function settled(
  sql: Sql,
  { id, attempt }: Claimed,
  { delivery }: Settlement,
  statement = settle,
): Promise<boolean> {
  const { state, nextAt, at, status, error, expiresAt } = delivery;
  const values = [id, attempt, state, toDate(nextAt), toDate(at), status, error, toDate(expiresAt)];
  return (await sql.query(statement, values)).length > 0;
}

export const createWebhookOutbox = (database: Database): WebhookOutbox => ({
  active: () => database.query<{ id: string; isBehind: boolean }>(active, []),

  async fill(endpointId, mostPending, make, now) {
    return database.transaction(async (sql) => {
      const [row] = await sql.query<EndpointRow & { seal: number; isFull: boolean }>(lockToFill, [
        endpointId,
        mostPending,
      ]);
      if (row === undefined) return false;
      if (row.isFull) return null;
      const [seal] = await sql.query<{ sequence: number; firstId: string; lastId: string }>(nextSeal, [row.seal]);
      if (seal === undefined) return false;
      const events = await sql.query<RecordRow>(eventsOf, [seal.firstId, seal.lastId]);
      await storeDeliveries(sql, endpointId, make(toEndpoint(row), events.map(toRecord)), toDate(now));
      await sql.query(moveOn, [endpointId, seal.sequence]);
      return true;
    });
  },

  async claim({ now, until, failing, limit, perEndpoint, underWay }) {
    const counts = JSON.stringify(Object.fromEntries(underWay));
    const values = [toDate(now), toDate(until), perEndpoint, counts, failing, limit];
    return (await database.query<ClaimedRow>(claim, values)).map(toClaimed);
  },

  async settle(claimed, decide) {
    // The ordinary case: it was taken, and nothing is to be said of the endpoint.
    const likely = decide(claimed.endpoint);
    const isOrdinary = Object.keys(likely.endpoint).length === 0;
    if (isOrdinary && (await settled(database, claimed, likely, settleAlone))) return likely;
    return database.transaction(async (sql) => {
      const before = await lockEndpoint(sql, claimed.endpoint.id);
      if (before === null) return null;
      const settlement = decide(before);
      if (!(await settled(sql, claimed, settlement))) return null;
      const { at } = settlement.delivery;
      if (Object.keys(settlement.endpoint).length > 0) await storeEndpoint(sql, before, settlement.endpoint, at);
      for (const event of settlement.audit) await appendAudit(sql, event);
      return settlement;
    });
  },

  async release({ id, attempt }, until) {
    await database.query(release, [id, attempt, toDate(until)]);
  },

  async backlog(limit) {
    const [found] = await database.query<{ pending: number; oldest: Date | null; disabled: number }>(backlog, [limit]);
    const { pending = 0, oldest = null, disabled = 0 } = found ?? {};
    return { pending, oldest: oldest && instant(oldest.getTime()), disabled };
  },
});
