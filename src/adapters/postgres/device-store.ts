/** Devices: one row for each on which a user has logged in, up to a number. */
import type { DeviceId } from '../../domain/devices.js';
import { instant, type SessionId, type Sha256, type UserId } from '../../domain/types.js';
import type { DeviceStore } from '../../ports/device-store.js';
import type { Database, Statement } from './database.js';

/** More than somebody has; a script that logs in anew each minute leaves no more behind. */
const MAX_DEVICES = 50;

const find: Statement = {
  name: 'device_find',
  text: `SELECT d.id, d.user_id, d.secret_hash, d.session_id, d.expires_at, u.email_key
    FROM devices d JOIN users u ON u.id = d.user_id WHERE d.id = $1`,
};

/**
 * The locks make it wait for whoever is ending the session, and whoever comes to end it later find the device. The user is
 * locked first, as by those who end all of his sessions: in another order the two would wait for each other for ever.
 */
const remember: Statement = {
  name: 'device_remember',
  text: `WITH owner AS (
      SELECT id FROM users WHERE id = $2 FOR KEY SHARE
    ), login AS (
      SELECT id, user_id FROM sessions
      WHERE id = $4 AND user_id = (SELECT id FROM owner) AND revoked_at IS NULL FOR SHARE
    ), remembered AS (
      INSERT INTO devices (id, user_id, secret_hash, session_id, expires_at)
      SELECT $1::uuid, user_id, $3::bytea, id, $5::timestamptz FROM login
      ON CONFLICT (id) DO UPDATE SET session_id = excluded.session_id, expires_at = excluded.expires_at
    )
    DELETE FROM devices WHERE user_id = $2 AND id <> $1 AND (expires_at <= $6 OR id IN (
      SELECT id FROM devices WHERE user_id = $2 AND id <> $1 ORDER BY expires_at DESC OFFSET ${MAX_DEVICES - 1}))`,
};

/** All of a user, or all but the one of a session that goes on. */
export const forgetDevices: Statement = {
  name: 'device_forget',
  text: 'DELETE FROM devices WHERE user_id = $1 AND ($2::uuid IS NULL OR session_id <> $2)',
};

interface Row {
  id: DeviceId;
  user_id: UserId;
  secret_hash: Sha256;
  session_id: SessionId;
  expires_at: Date;
  email_key: string;
}

export const createDeviceStore = (database: Database): DeviceStore => ({
  async find(id) {
    const [row] = await database.query<Row>(find, [id]);
    return row === undefined
      ? null
      : {
          id: row.id,
          userId: row.user_id,
          secretHash: row.secret_hash,
          sessionId: row.session_id,
          expiresAt: instant(row.expires_at.getTime()),
          emailKey: row.email_key,
        };
  },
  async remember({ id, userId, secretHash, sessionId, expiresAt }, at) {
    await database.query(remember, [id, userId, secretHash, sessionId, new Date(expiresAt), new Date(at)]);
  },
});
