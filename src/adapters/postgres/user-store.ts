import { instant, type User, type UserId } from '../../domain/types.js';
import type { UserStore } from '../../ports/user-store.js';
import { appendAudit, auditRow } from './audit.js';
import { unlessTaken } from './availability.js';
import type { Database, Statement } from './database.js';
import type { User as Row } from './generated/client.js';
import { endAllSessions } from './session-store.js';

const setPassword: Statement = {
  name: 'user_set_password',
  text: `UPDATE users SET password_hash = $2, password_changed_at = $3
    WHERE id = $1 AND password_changed_at = $4 AND disabled_at IS NULL RETURNING id`,
};

const toDomain = (row: Row): User => ({
  id: row.id as UserId,
  email: row.email,
  emailVerified: row.emailVerified,
  passwordHash: row.passwordHash,
  passwordChangedAt: instant(row.passwordChangedAt.getTime()),
  roles: row.roles,
  disabledAt: row.disabledAt && instant(row.disabledAt.getTime()),
  createdAt: instant(row.createdAt.getTime()),
});

export const createUserStore = (database: Database): UserStore => ({
  async create(user, emailKey, event) {
    const data = {
      ...user,
      emailKey,
      roles: [...user.roles],
      passwordChangedAt: new Date(user.passwordChangedAt),
      disabledAt: user.disabledAt && new Date(user.disabledAt),
      createdAt: new Date(user.createdAt),
    };
    return unlessTaken(
      database.orm((prisma) =>
        prisma.$transaction([prisma.user.create({ data }), prisma.auditEvent.create({ data: auditRow(event) })]),
      ),
    );
  },

  async findByEmailKey(emailKey) {
    const row = await database.orm((prisma) => prisma.user.findUnique({ where: { emailKey } }));
    return row && toDomain(row);
  },

  async find(id) {
    const row = await database.orm((prisma) => prisma.user.findUnique({ where: { id } }));
    return row && toDomain(row);
  },

  async rehash(id, oldHash, newHash) {
    const change = { where: { id, passwordHash: oldHash }, data: { passwordHash: newHash } };
    await database.orm((prisma) => prisma.user.updateMany(change));
  },

  async changePassword({ userId, passwordHash, unlessChangedSince, keep, audit: event }) {
    const at = new Date(event.at);
    return database.transaction(async (sql) => {
      const values = [userId, passwordHash, at, new Date(unlessChangedSince)];
      if ((await sql.query(setPassword, values)).length === 0) return false;
      // A statement of its own: it sees the sessions of logins that held the user's row until this one got it.
      const ended = await sql.query(endAllSessions, [userId, keep, at, 'password_changed']);
      await appendAudit(sql, { ...event, details: { ended: ended.length } });
      return true;
    });
  },
});
