/** How sessions are ended, one or all of an owner, with the revocations that this takes: one transaction each. */
import type { AuditEvent, RevokeReason, SessionId, UserId } from '../../domain/types.js';
import { appendAudit, auditInsert } from './audit.js';
import type { Sql, Statement } from './database.js';
import { forgetDevices } from './device-store.js';
import { ownerRevocation, revokeSessions, sessionRevocations } from './revocation-store.js';

/** An access token may outlive its session, so one that is past its end is ended all the same, and does not count. */
const isLive = '(idle_expires_at > $3 AND expires_at > $3) AS live';

/** Whoever logs out may come back on the device; whoever is thrown out is a stranger there. */
export const endSession: Statement = {
  name: 'session_end',
  text: `WITH ended AS (
      UPDATE sessions SET revoked_at = $3, revoke_reason = $4
      WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id, client_id, ${isLive}
    ), forgotten AS (
      DELETE FROM devices WHERE user_id = $2 AND $4 <> 'logout' AND session_id IN (SELECT id FROM ended)
    ), revoked AS (${sessionRevocations('$3', 'ended')}), audited AS (${auditInsert(5, 'FROM ended', {
      client_id: 'client_id',
    })})
    SELECT live FROM ended`,
};

/**
 * Sessions are locked in one order, whoever ends several of them: two that met in another order would wait for each other
 * for ever.
 */
const inOrder = (which: string): string => `SELECT id FROM sessions WHERE ${which} ORDER BY id FOR UPDATE`;

/** Logins hold the row shared until their session is stored: who has it sees all of them. */
export const lockUser: Statement = { name: 'user_lock', text: 'SELECT id FROM users WHERE id = $1 FOR UPDATE' };

const endAllSessions: Statement = {
  name: 'session_end_all',
  text: `WITH unrevoked AS (${inOrder('user_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id <> $2)')}), ended AS (
      UPDATE sessions SET revoked_at = $3, revoke_reason = $4 WHERE id IN (SELECT id FROM unrevoked) RETURNING id, ${isLive}
    )
    SELECT id, live FROM ended`,
};

/** A user's or a client's sessions, for good: in the transaction that deletes their owner. */
export const deleteSessionsOf = (column: 'user_id' | 'client_id'): Statement => ({
  name: `session_delete_by_${column}`,
  text: `WITH owned AS (${inOrder(`${column} = $1`)}), gone AS (
      DELETE FROM sessions WHERE id IN (SELECT id FROM owned) RETURNING revoked_at
    )
    SELECT count(*) FILTER (WHERE revoked_at IS NULL)::integer AS ended FROM gone`,
});

export const revokeOwner = ownerRevocation('sub', false);

/**
 * For transactions that hold the user's row. What they have to tell is stored before the rules, for which others wait.
 * Resolves to the number of sessions that were live.
 */
export async function endSessionsOf(
  sql: Sql,
  userId: UserId,
  except: SessionId | null,
  reason: RevokeReason,
  event: AuditEvent,
): Promise<number> {
  const at = new Date(event.at);
  const rows = await sql.query<{ id: string; live: boolean }>(endAllSessions, [userId, except, at, reason]);
  const ended = rows.filter(({ live }) => live).length;
  await sql.query(forgetDevices, [userId, except]);
  await appendAudit(sql, { ...event, details: { ...event.details, ended } });
  await sql.query(revokeSessions, [rows.map(({ id }) => id), at]);
  return ended;
}
