/** Sessions. A statement here does all of one change, its audit event included, or nothing. */
import type { SessionId, SessionWithOwner } from '../../domain/types.js';
import type { Flags } from '../../ports/detection-store.js';
import type { SessionStore } from '../../ports/session-store.js';
import { AUDIT_VALUES, auditInsert, auditValues } from './audit.js';
import type { Database, Statement } from './database.js';
import { endedByRule } from './revocation-store.js';
import { endSession, endSessionsOf, lockUser, revokeOwner } from './session-ending.js';
import {
  at,
  flaggedOf,
  type RotatedRow,
  type Row,
  returned,
  rotated,
  toDomain,
  toTokenSource,
} from './session-rows.js';

const withOwner = 'FROM sessions s JOIN users u ON u.id = s.user_id JOIN clients c ON c.client_id = s.client_id';
const find: Statement = { name: 'session_find', text: `SELECT ${returned} ${withOwner} WHERE s.id = $1` };

/**
 * The whole transaction of a refresh, in one round trip. Whoever comes second waits for the first one's commit, sees
 * that the generation has moved, and changes nothing. The tag is compared by its hash, so that how long it takes tells
 * nothing of it. `rotations - 4` takes away the fifth entry: the row stays as large as it is. A place goes with its
 * address: an old one never stands beside a new address. A step-up that is pending is passed by whoever gave the password
 * for that very one, and by nobody else; the row is looked at again after a wait for whoever has asked for it just now.
 */
export const rotate: Statement = {
  name: 'session_rotate',
  text: `UPDATE sessions s SET
      generation = s.generation + 1,
      previous_hash = s.current_hash,
      current_hash = $6,
      rotation_salt = $7,
      rotations = (jsonb_build_array(jsonb_build_object('at', $9::bigint, 'key', $8::text)) || s.rotations) - 4,
      idle_expires_at = least($10::timestamptz + make_interval(secs => c.idle_ttl), s.expires_at),
      last_seen_at = greatest($10::timestamptz, s.last_seen_at),
      ip = coalesce($11::text, s.ip),
      place = CASE WHEN $11::text IS NULL THEN s.place ELSE $14::text END,
      user_agent = coalesce($12::text, s.user_agent),
      step_up_at = NULL
    FROM users u, clients c
    WHERE s.id = $1 AND s.generation = $2 AND s.current_hash = $3
      AND sha256(substring(keyturn_hmac_sha256(s.family_key, $4) FOR 16)) = $5
      AND s.revoked_at IS NULL AND s.idle_expires_at > $10 AND s.expires_at > $10 AND ${endedByRule} IS NULL
      AND ($8::text IS NULL OR s.rotations -> 0 ->> 'key' IS DISTINCT FROM $8)
      AND ($13::text IS NULL OR s.client_id = $13)
      AND s.step_up_at IS NOT DISTINCT FROM $15::timestamptz
      AND u.id = s.user_id AND u.disabled_at IS NULL
      AND c.client_id = s.client_id AND c.required_roles <@ u.roles
    RETURNING ${rotated}`,
};

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

const ROTATION_VALUES = 15;
const ofTheSession = { actor: `'user:' || user_id`, user_id: 'user_id', client_id: 'client_id' };

/** The same with so many audit events: whose session it was is known when the row has been found. */
function rotateAudited(events: number): Statement {
  const inserts = Array.from({ length: events }, (_, i) => {
    const first = ROTATION_VALUES + 1 + i * AUDIT_VALUES;
    return `audited_${i} AS (${auditInsert(first, 'FROM rotated', ofTheSession)})`;
  });
  return {
    name: `session_rotate_audited_${events}`,
    text: `WITH rotated AS (${rotate.text}), ${inserts.join(', ')} SELECT * FROM rotated`,
  };
}
const rotateWith = [rotate, rotateAudited(1), rotateAudited(2)];

const listLive: Statement = {
  name: 'session_list',
  text: `SELECT id, client_id, device_name, user_agent, ip, place, created_at, last_seen_at, flagged_at, flags
    FROM sessions s
    WHERE user_id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 AND expires_at > $2 AND ${endedByRule} IS NULL
    ORDER BY last_seen_at DESC, id LIMIT $3`,
};

const one = (rows: Row[]): SessionWithOwner | null => (rows[0] === undefined ? null : toDomain(rows[0]));

export const createSessionStore = (database: Database): SessionStore => ({
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

  async rotate(attempt) {
    const statement = rotateWith[attempt.audits.length];
    if (statement === undefined) throw new Error('a rotation is told of by two events at most');
    const [row] = await database.query<RotatedRow>(statement, [
      attempt.sessionId,
      attempt.generation,
      attempt.secretHash,
      attempt.signed,
      attempt.tagHash,
      attempt.nextHash,
      attempt.salt,
      attempt.key,
      attempt.at,
      new Date(attempt.at),
      attempt.caller.ip,
      attempt.caller.userAgent,
      attempt.clientId,
      attempt.caller.place,
      attempt.proved && new Date(attempt.proved),
      ...attempt.audits.flatMap(auditValues),
    ]);
    return row === undefined ? null : toTokenSource(row, attempt);
  },

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
