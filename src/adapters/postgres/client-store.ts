import type { ClientSettings } from '../../domain/clients.js';
import { type Client, type Grant, instant, type Sha256 } from '../../domain/types.js';
import type { ClientStore } from '../../ports/client-store.js';
import { appendAudit, auditInsert, auditValues } from './audit.js';
import { unlessTaken } from './availability.js';
import type { Database, Statement } from './database.js';
import type { Client as Row } from './generated/client.js';
import { ownerRevocation } from './revocation-store.js';
import { deleteSessionsOf } from './session-ending.js';

/** In the order of the statement's parameters: from $2 on as they are to be, and after these as they were. */
const settings = {
  name: ['name', 'text'],
  audiences: ['audiences', 'text[]'],
  scopes: ['scopes', 'text[]'],
  grants: ['grants', 'text[]'],
  requiredRoles: ['required_roles', 'text[]'],
  accessTokenTtl: ['access_token_ttl', 'integer'],
  idleTtl: ['idle_ttl', 'integer'],
  absoluteTtl: ['absolute_ttl', 'integer'],
  tokenDelivery: ['token_delivery', 'text'],
  renewAfter: ['renew_after', 'integer'],
  corsOrigins: ['cors_origins', 'text[]'],
  anomalyPolicy: ['anomaly_policy', 'text'],
} satisfies Record<keyof ClientSettings, [column: string, type: string]>;
const names = Object.keys(settings) as (keyof ClientSettings)[];
const columns = Object.values(settings).map(([column]) => column);
const parameters = (first: number) => Object.values(settings).map(([, type], i) => `$${first + i}::${type}`);

/** As the models of Prisma name them. */
const returned = [
  ...['client_id AS "clientId"', 'type', 'secret_hash AS "secretHash"', 'created_at AS "createdAt"'],
  ...names.map((name) => `${settings[name][0]} AS "${name}"`),
].join(', ');
const find: Statement = { name: 'client_find', text: `SELECT ${returned} FROM clients WHERE client_id = $1` };
const ofBrowsers: Statement = {
  name: 'client_of_browsers',
  text: `SELECT client_id AS "clientId", token_delivery AS "tokenDelivery", renew_after AS "renewAfter",
      cors_origins AS "corsOrigins"
    FROM clients WHERE token_delivery = 'header' OR cors_origins <> '{}'`,
};

const create: Statement = {
  name: 'client_create',
  text: `WITH created AS (
      INSERT INTO clients (client_id, type, secret_hash, created_at, ${columns})
      VALUES ($1, $2, $3, $4, ${parameters(5)})
    ), audited AS (${auditInsert(5 + names.length)})
    SELECT 1`,
};

const update: Statement = {
  name: 'client_update',
  text: `WITH changed AS (
      UPDATE clients SET (${columns}) = (${parameters(2)})
      WHERE client_id = $1 AND (${columns}) = (${parameters(2 + names.length)}) RETURNING client_id
    ), audited AS (${auditInsert(2 + 2 * names.length, 'FROM changed')})
    SELECT client_id FROM changed`,
};

const setSecret: Statement = {
  name: 'client_set_secret',
  text: `WITH changed AS (
      UPDATE clients SET secret_hash = $2 WHERE client_id = $1 AND type = 'confidential' RETURNING client_id
    ), audited AS (${auditInsert(3, 'FROM changed')})
    SELECT client_id FROM changed`,
};

/** Logins hold the row shared until their session is stored. */
const lock: Statement = {
  name: 'client_lock',
  text: 'SELECT access_token_ttl FROM clients WHERE client_id = $1 FOR UPDATE',
};
const remove: Statement = { name: 'client_delete', text: 'DELETE FROM clients WHERE client_id = $1' };
const removeSessions = deleteSessionsOf('client_id');
const revoke = ownerRevocation('client', true);

const toDomain = (row: Row): Client => ({
  ...row,
  type: row.type as Client['type'],
  secretHash: row.secretHash as Sha256 | null,
  grants: row.grants as Grant[],
  tokenDelivery: row.tokenDelivery as Client['tokenDelivery'],
  anomalyPolicy: row.anomalyPolicy as Client['anomalyPolicy'],
  createdAt: instant(row.createdAt.getTime()),
});

export const createClientStore = (database: Database): ClientStore => ({
  async find(clientId) {
    const [row] = await database.query<Row>(find, [clientId]);
    return row === undefined ? null : toDomain(row);
  },

  async create(client, event) {
    const { clientId, type, secretHash, createdAt } = client;
    const values = [clientId, type, secretHash, new Date(createdAt), ...names.map((name) => client[name])];
    return unlessTaken(database.query(create, [...values, ...auditValues(event)]));
  },

  async ofBrowsers() {
    return database.query(ofBrowsers, []);
  },

  async list(after, limit) {
    const where = after === null ? {} : { clientId: { gt: after } };
    const rows = await database.orm((prisma) =>
      prisma.client.findMany({ where, orderBy: { clientId: 'asc' }, take: limit }),
    );
    return rows.map(toDomain);
  },

  async update(before, after, event) {
    const values = [after, before].flatMap((settings) => names.map((name) => settings[name]));
    return (await database.query(update, [before.clientId, ...values, ...auditValues(event)])).length > 0;
  },

  async setSecret(clientId, secretHash, event) {
    return (await database.query(setSecret, [clientId, secretHash, ...auditValues(event)])).length > 0;
  },

  async delete(clientId, event) {
    return database.transaction(async (sql) => {
      const [client] = await sql.query<{ access_token_ttl: number }>(lock, [clientId]);
      if (client === undefined) return null;
      const [row] = await sql.query<{ ended: number }>(removeSessions, [clientId]);
      await sql.query(remove, [clientId]);
      const ended = row?.ended ?? 0;
      await appendAudit(sql, { ...event, details: { ended } });
      await sql.query(revoke, [clientId, new Date(event.at), client.access_token_ttl]);
      return ended;
    });
  },
});
