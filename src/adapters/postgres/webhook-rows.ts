/** webhook_endpoints, as they are read, locked and written, by administrators and by what becomes of deliveries. */
import { type Instant, instant, later } from '../../domain/types.js';
import { KEPT_FAILED_S } from '../../domain/webhook-retries.js';
import type { DisabledReason, EndpointState, WebhookEndpoint } from '../../domain/webhooks.js';
import type { Sql, Statement } from './database.js';

/** `e` is the endpoint. */
export const endpointColumns = `e.id, e.url, e.events, e.description, e.sealed_secrets, e.kek_id, e.previous_until, e.created_at,
  e.disabled_at, e.disabled_reason, e.failing_since, e.told_at, e.not_before`;

export interface EndpointRow {
  id: string;
  url: string;
  events: string[];
  description: string | null;
  sealed_secrets: Uint8Array;
  kek_id: string;
  previous_until: Date | null;
  created_at: Date;
  disabled_at: Date | null;
  disabled_reason: DisabledReason | null;
  failing_since: Date | null;
  told_at: Date | null;
  not_before: Date | null;
}

export const toInstant = (at: Date | null): Instant | null => at && instant(at.getTime());
export const toDate = (at: Instant | null): Date | null => (at === null ? null : new Date(at));

export const toEndpoint = (row: EndpointRow): WebhookEndpoint => ({
  id: row.id,
  url: row.url,
  events: row.events,
  description: row.description,
  secrets: { sealed: row.sealed_secrets, kekId: row.kek_id },
  previousUntil: toInstant(row.previous_until),
  createdAt: instant(row.created_at.getTime()),
  disabledAt: toInstant(row.disabled_at),
  disabledReason: row.disabled_reason,
  failingSince: toInstant(row.failing_since),
  toldAt: toInstant(row.told_at),
  notBefore: toInstant(row.not_before),
});

/** Those who add a delivery need not wait for it, nor it for them. */
const lock: Statement = {
  name: 'webhook_lock',
  text: `SELECT ${endpointColumns} FROM webhook_endpoints AS e WHERE e.id = $1 FOR NO KEY UPDATE`,
};

export async function lockEndpoint(sql: Sql, id: string): Promise<WebhookEndpoint | null> {
  const [row] = await sql.query<EndpointRow>(lock, [id]);
  return row === undefined ? null : toEndpoint(row);
}

/** What an enabled one begins after. */
export const latestSeal = 'coalesce((SELECT max(sequence) FROM audit_seals), 0)';

const store: Statement = {
  name: 'webhook_store',
  text: `UPDATE webhook_endpoints SET url = $2, events = $3::text[], description = $4, disabled_at = $5, disabled_reason = $6,
      failing_since = $7, told_at = $8, not_before = $9, seal = CASE WHEN $10::boolean THEN ${latestSeal} ELSE seal END
    WHERE id = $1`,
};

const giveUp: Statement = {
  name: 'webhook_give_up',
  text: `UPDATE webhook_deliveries SET state = 'failed', next_at = NULL, expires_at = $2
    WHERE endpoint_id = $1 AND state = 'pending'`,
};

/** Of one that is locked. */
export async function storeEndpoint(
  sql: Sql,
  before: WebhookEndpoint,
  changes: Partial<EndpointState>,
  at: Instant,
): Promise<WebhookEndpoint> {
  const after = { ...before, ...changes };
  const isEnabled = before.disabledAt !== null && after.disabledAt === null;
  await sql.query(store, [
    after.id,
    after.url,
    [...after.events],
    after.description,
    toDate(after.disabledAt),
    after.disabledReason,
    toDate(after.failingSince),
    toDate(after.toldAt),
    toDate(after.notBefore),
    isEnabled,
  ]);
  if (before.disabledAt === null && after.disabledAt !== null)
    await sql.query(giveUp, [after.id, toDate(later(at, KEPT_FAILED_S))]);
  return after;
}
