import { type AuditEvent, instant, type RevokeReason, type User, type UserId } from '../../domain/types.js';
import type { UserStore } from '../../ports/user-store.js';
import { appendAudit, auditInsert, auditValues } from './audit.js';
import { unlessTaken } from './availability.js';
import type { Database, Statement } from './database.js';
import type { User as Row } from './generated/client.js';
import { ownerRevocation } from './revocation-store.js';
import { deleteSessionsOf, endSessionsOf, lockUser } from './session-ending.js';

/** As the models of Prisma name them. */
const returned = `id, email, email_verified AS "emailVerified", password_hash AS "passwordHash",
  password_changed_at AS "passwordChangedAt", roles, disabled_at AS "disabledAt", created_at AS "createdAt"`;
const find: Statement = { name: 'user_find', text: `SELECT ${returned} FROM users WHERE id = $1` };
const findByEmailKey: Statement = {
  name: 'user_find_by_email_key',
  text: `SELECT ${returned} FROM users WHERE email_key = $1`,
};

const create: Statement = {
  name: 'user_create',
  text: `WITH created AS (
      INSERT INTO users (id, email, email_key, email_verified, password_hash, password_changed_at, roles, disabled_at,
        created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ), audited AS (${auditInsert(10)})
    SELECT 1`,
};

const rehash: Statement = {
  name: 'user_rehash',
  text: 'UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2',
};

const setPassword: Statement = {
  name: 'user_set_password',
  text: `UPDATE users SET password_hash = $2, password_changed_at = $3
    WHERE id = $1 AND password_changed_at = $4 AND disabled_at IS NULL RETURNING id`,
};

const disable: Statement = {
  name: 'user_disable',
  text: 'UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL RETURNING id',
};

const replacePassword: Statement = {
  name: 'user_replace_password',
  text: 'UPDATE users SET password_hash = $2, password_changed_at = $3 WHERE id = $1 RETURNING id',
};

const enable: Statement = {
  name: 'user_enable',
  text: `WITH changed AS (
      UPDATE users SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL RETURNING id
    ), audited AS (${auditInsert(2, 'FROM changed')})
    SELECT id FROM changed`,
};

const setRoles: Statement = {
  name: 'user_set_roles',
  text: `WITH changed AS (
      UPDATE users SET roles = $2::text[] WHERE id = $1 RETURNING id
    ), audited AS (${auditInsert(3, 'FROM changed')})
    SELECT id FROM changed`,
};

const remove: Statement = { name: 'user_delete', text: 'DELETE FROM users WHERE id = $1' };
const removeSessions = deleteSessionsOf('user_id');
const revoke = ownerRevocation('sub', true);

type Found = Omit<Row, 'emailKey'>;
const toDomain = (row: Found): User => ({
  id: row.id as UserId,
  email: row.email,
  emailVerified: row.emailVerified,
  passwordHash: row.passwordHash,
  passwordChangedAt: instant(row.passwordChangedAt.getTime()),
  roles: row.roles,
  disabledAt: row.disabledAt && instant(row.disabledAt.getTime()),
  createdAt: instant(row.createdAt.getTime()),
});

export const createUserStore = (database: Database): UserStore => {
  async function one(statement: Statement, value: string): Promise<User | null> {
    const [row] = await database.query<Found>(statement, [value]);
    return row === undefined ? null : toDomain(row);
  }

  /** Runs a statement that changes the user whose id is its first value; null when it changes none. */
  const endingSessions = (change: Statement, values: [UserId, ...unknown[]], reason: RevokeReason, event: AuditEvent) =>
    database.transaction(async (sql) => {
      if ((await sql.query(change, values)).length === 0) return null;
      return endSessionsOf(sql, values[0], null, reason, event);
    });

  return {
    async create(user, emailKey, event) {
      const values = [
        user.id,
        user.email,
        emailKey,
        user.emailVerified,
        user.passwordHash,
        new Date(user.passwordChangedAt),
        [...user.roles],
        user.disabledAt && new Date(user.disabledAt),
        new Date(user.createdAt),
      ];
      return unlessTaken(database.query(create, [...values, ...auditValues(event)]));
    },

    findByEmailKey: (emailKey) => one(findByEmailKey, emailKey),
    find: (id) => one(find, id),

    async list(after, limit) {
      const where = after === null ? {} : { id: { gt: after } };
      const rows = await database.orm((prisma) => prisma.user.findMany({ where, orderBy: { id: 'asc' }, take: limit }));
      return rows.map(toDomain);
    },

    async rehash(id, oldHash, newHash) {
      await database.query(rehash, [id, oldHash, newHash]);
    },

    async changePassword({ userId, passwordHash, unlessChangedSince, keep, audit: event }) {
      const at = new Date(event.at);
      return database.transaction(async (sql) => {
        const values = [userId, passwordHash, at, new Date(unlessChangedSince)];
        if ((await sql.query(setPassword, values)).length === 0) return false;
        await endSessionsOf(sql, userId, keep, 'password_changed', event);
        return true;
      });
    },

    async disable(id, event) {
      const ended = await endingSessions(disable, [id, new Date(event.at)], 'account_disabled', event);
      return ended !== null;
    },

    async enable(id, event) {
      return (await database.query(enable, [id, ...auditValues(event)])).length > 0;
    },

    async setRoles(id, roles, event) {
      return (await database.query(setRoles, [id, [...roles], ...auditValues(event)])).length > 0;
    },

    setPassword: (id, passwordHash, event) =>
      endingSessions(replacePassword, [id, passwordHash, new Date(event.at)], 'password_changed', event),

    async delete(id, event) {
      return database.transaction(async (sql) => {
        if ((await sql.query(lockUser, [id])).length === 0) return null;
        const [row] = await sql.query<{ ended: number }>(removeSessions, [id]);
        await sql.query(remove, [id]);
        const ended = row?.ended ?? 0;
        await appendAudit(sql, { ...event, details: { ended } });
        await sql.query(revoke, [id, new Date(event.at), 0]);
        return ended;
      });
    },
  };
};
