/** Sessions. A statement here does all of one change, its audit event included, or nothing. */
import type { SessionId, SessionWithOwner } from '../../domain/types.js';
import type { Flags } from '../../ports/detection-store.js';
import type { SessionStore } from '../../ports/session-store.js';
import { auditInsert, auditValues } from './audit.js';
import type { Database, Statement } from './database.js';
import { endedByRule } from './revocation-store.js';
import { createRotation, type Rotation } from './rotation.js';
import { endSession, endSessionsOf, lockUser, revokeOwner } from './session-ending.js';
import { at, flaggedOf, type Row, returned, toDomain } from './session-rows.js';

const withOwner = 'FROM sessions s JOIN users u ON u.id = s.user_id JOIN clients c ON c.client_id = s.client_id';
const find: Statement = { name: 'session_find', text: `SELECT ${returned} ${withOwner} WHERE s.id = $1` };

/**
 * No token: the one that was presented is good by itself. The rest is as in a rotation. Seconds are compared, as whoever
 * looks at the `iat` of a token does.
 */
const slide: Statement = {
  name: 'session_slide',
  text: `UPDATE sessions s SET
      idle_expires_at = least($2::timestamptz + make_interval(secs => c.idle_ttl), s.expires_at),
      last_seen_at = $2,
      ip = coalesce($3::text, s.ip),
      place = CASE WHEN $3::text IS NULL THEN s.place ELSE $4::text END,
      user_agent = coalesce($5::text, s.user_agent)
    FROM users u, clients c
    WHERE s.id = $1 AND s.revoked_at IS NULL AND s.idle_expires_at > $2 AND s.expires_at > $2 AND ${endedByRule} IS NULL
      AND s.step_up_at IS NULL AND u.id = s.user_id AND u.disabled_at IS NULL
      AND c.client_id = s.client_id AND c.required_roles <@ u.roles AND c.token_delivery = 'header'
      AND date_trunc('second', s.last_seen_at) <=
        date_trunc('second', $2::timestamptz) - make_interval(secs => c.renew_after)
    RETURNING ${returned}, s.last_seen_at`,
};

const findWithUse: Statement = {
  name: 'session_find_with_use',
  text: `SELECT ${returned}, s.last_seen_at ${withOwner} WHERE s.id = $1 AND c.token_delivery = 'header'`,
};

/**
 * The locks make a login wait for a password change, or for the deletion of its user or its client, that is in progress,
 * and see what came of it.
 */
const create: Statement = {
  name: 'session_create',
  text: `WITH owner AS (
      SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL AND password_changed_at = $18 FOR SHARE
    ), application AS (
      SELECT client_id FROM clients WHERE client_id = $3 FOR KEY SHARE
    ), created AS (
      INSERT INTO sessions (id, user_id, client_id, audience, scope, generation, current_hash, rotation_salt, family_key,
        idle_expires_at, expires_at, device_name, user_agent, ip, place, created_at, last_seen_at)
      SELECT $1, id, client_id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17
      FROM owner, application RETURNING id
    ), audited AS (${auditInsert(19, 'FROM created')})
    SELECT id FROM created`,
};

const listLive: Statement = {
  name: 'session_list',
  text: `SELECT id, client_id, device_name, user_agent, ip, place, created_at, last_seen_at, flagged_at, flags
    FROM sessions s
    WHERE user_id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 AND expires_at > $2 AND ${endedByRule} IS NULL
    ORDER BY last_seen_at DESC, id LIMIT $3`,
};

const one = (rows: Row[]): SessionWithOwner | null => (rows[0] === undefined ? null : toDomain(rows[0]));

export const createSessionStore = (database: Database): SessionStore & Rotation => ({
  async create(session, passwordChangedAt, event) {
    const rows = await database.query<{ id: string }>(create, [
      session.id,
      session.userId,
      session.clientId,
      session.audience,
      session.scope,
      session.generation,
      session.currentHash,
      session.rotationSalt,
      session.familyKey,
      new Date(session.idleExpiresAt),
      new Date(session.expiresAt),
      session.deviceName,
      session.caller.userAgent,
      session.caller.ip,
      session.caller.place,
      new Date(session.createdAt),
      new Date(session.createdAt),
      new Date(passwordChangedAt),
      ...auditValues(event),
    ]);
    return rows.length > 0;
  },

  async find(id) {
    return one(await database.query<Row>(find, [id]));
  },

  ...createRotation(database),

  async slide({ sessionId, at: now, caller }) {
    type UsedRow = Row & { last_seen_at: Date };
    const values = [sessionId, new Date(now), caller.ip, caller.place, caller.userAgent];
    const [row] = await database.query<UsedRow>(slide, values);
    // Not in the same statement: that would show the row as it was before it waited for another one's change.
    const used = row ?? (await database.query<UsedRow>(findWithUse, [sessionId]))[0];
    return used === undefined ? null : { ...toDomain(used), lastSeenAt: at(used.last_seen_at) };
  },

  async listLive(userId, now, limit) {
    const rows = await database.query<{
      id: SessionId;
      client_id: string;
      device_name: string | null;
      user_agent: string | null;
      ip: string | null;
      place: string | null;
      created_at: Date;
      last_seen_at: Date;
      flagged_at: Date | null;
      flags: Flags | null;
    }>(listLive, [userId, new Date(now), limit]);
    return rows.map((row) => ({
      id: row.id,
      clientId: row.client_id,
      deviceName: row.device_name,
      userAgent: row.user_agent,
      ip: row.ip,
      place: row.place,
      createdAt: at(row.created_at),
      lastSeenAt: at(row.last_seen_at),
      flagged: flaggedOf(row),
    }));
  },

  async end(id, userId, reason, event) {
    const values = [id, userId, new Date(event.at), reason, ...auditValues(event)];
    const [row] = await database.query<{ live: boolean }>(endSession, values);
    return row?.live ?? false;
  },

  async revokeUser(userId, event) {
    return database.transaction(async (sql) => {
      await sql.query(lockUser, [userId]);
      await endSessionsOf(sql, userId, null, 'ended_by_admin', event);
      const [rule] = await sql.query<{ not_before: Date }>(revokeOwner, [userId, new Date(event.at), 0]);
      return at(rule?.not_before ?? new Date(event.at));
    });
  },

  async endAll(userId, except, reason, event) {
    return database.transaction(async (sql) => {
      await sql.query(lockUser, [userId]);
      return endSessionsOf(sql, userId, except, reason, event);
    });
  },
});
