/** user_profiles, and the columns of sessions that tell of anomalies. */
import type { Policy } from '../../domain/anomalies/policy.js';
import type { Profile } from '../../domain/anomalies/profile.js';
import { instant, type UserId } from '../../domain/types.js';
import type { DetectionStore, Flags } from '../../ports/detection-store.js';
import { auditInsert, auditValues } from './audit.js';
import type { Database, Statement } from './database.js';
import { endedByRule } from './revocation-store.js';

const load: Statement = {
  name: 'profile_load',
  text: 'SELECT user_id, profile, version::text FROM user_profiles WHERE user_id = ANY($1::uuid[])',
};

/**
 * Rows are locked in one order, since two nodes that met in another would wait for each other for ever; and users before
 * their profiles, as by those who delete them. Whoever waited finds another version, and leaves the row alone.
 */
const keep: Statement = {
  name: 'profile_keep',
  text: `WITH given AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset($1::jsonb) AS g(user_id uuid, version bigint, profile jsonb)
    ), owners AS MATERIALIZED (
      SELECT id FROM users WHERE id IN (SELECT user_id FROM given WHERE version IS NULL) ORDER BY id FOR KEY SHARE
    ), locked AS MATERIALIZED (
      SELECT p.user_id FROM user_profiles p JOIN given g ON g.user_id = p.user_id AND g.version = p.version
      ORDER BY p.user_id FOR UPDATE OF p
    ), changed AS (
      UPDATE user_profiles p SET profile = g.profile, version = p.version + 1, updated_at = $2
      FROM given g WHERE g.user_id = p.user_id AND p.user_id IN (SELECT user_id FROM locked) RETURNING p.user_id
    ), begun AS (
      INSERT INTO user_profiles (user_id, profile, version, updated_at)
      SELECT g.user_id, g.profile, 1, $2 FROM given g JOIN owners o ON o.id = g.user_id ORDER BY g.user_id
      ON CONFLICT (user_id) DO NOTHING RETURNING user_id
    )
    SELECT user_id FROM changed UNION ALL SELECT user_id FROM begun`,
};

const suspect: Statement = {
  name: 'session_suspect',
  text: `SELECT s.client_id, s.flagged_at, s.flags, c.anomaly_policy
    FROM sessions s JOIN clients c ON c.client_id = s.client_id
    WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.idle_expires_at > $3 AND s.expires_at > $3
      AND ${endedByRule} IS NULL`,
};

const flag: Statement = {
  name: 'session_flag',
  text: `WITH flagged AS (
      UPDATE sessions SET flagged_at = $3, flags = $4, step_up_at = CASE WHEN $5 THEN $3 ELSE step_up_at END
      WHERE id = $1 AND revoked_at IS NULL AND flagged_at IS NOT DISTINCT FROM $2::timestamptz RETURNING id
    ), audited AS (${auditInsert(6, 'FROM flagged')})
    SELECT id FROM flagged`,
};

export const createDetectionStore = (database: Database): DetectionStore => ({
  async profiles(userIds) {
    const rows = await database.query<{ user_id: UserId; profile: Profile; version: string }>(load, [userIds]);
    return new Map(rows.map(({ user_id, profile, version }) => [user_id, { profile, version }]));
  },

  async keep(profiles, at) {
    const given = profiles.map(({ userId, version, profile }) => ({ user_id: userId, version, profile }));
    const rows = await database.query<{ user_id: UserId }>(keep, [JSON.stringify(given), new Date(at)]);
    return new Set(rows.map(({ user_id }) => user_id));
  },

  async suspect(sessionId, userId, at) {
    const [row] = await database.query<{
      client_id: string;
      flagged_at: Date | null;
      flags: Flags | null;
      anomaly_policy: Policy;
    }>(suspect, [sessionId, userId, new Date(at)]);
    if (row === undefined) return null;
    const flaggedAt = row.flagged_at && instant(row.flagged_at.getTime());
    const { client_id: clientId, anomaly_policy: policy, flags } = row;
    return { sessionId, userId, clientId, policy, flaggedAt, flags };
  },

  async flag({ sessionId, flaggedAt }, flags, demandsPassword, event) {
    const seen = flaggedAt && new Date(flaggedAt);
    const values = [sessionId, seen, new Date(event.at), JSON.stringify(flags), demandsPassword, ...auditValues(event)];
    return (await database.query(flag, values)).length > 0;
  },
});
