/** What administrators do with the accounts of others. Each change leaves an audit event that says who did it. */
import type { Clock } from '../ports/clock.js';
import type { PasswordHasher } from '../ports/password-hasher.js';
import type { Random } from '../ports/random.js';
import type { SessionStore } from '../ports/session-store.js';
import type { UserStore } from '../ports/user-store.js';
import { makeUser } from './accounts.js';
import { auditEvent } from './audit.js';
import { toBase64url } from './base64url.js';
import { ADMIN_ROLE } from './clients.js';
import { type Email, parseEmail } from './email.js';
import { Refusal } from './errors.js';
import type { Ids } from './ids.js';
import type { AcceptPassword } from './passwords.js';
import type { Revocations } from './revocations.js';
import type { AuditEvent, By, Page, User, UserId } from './types.js';

const GENERATED_PASSWORD_BYTES = 18;

/** All but `list`, `findByEmail` and `create` throw `not_found`. */
export interface UserAdministration {
  /** In the order in which they were created. */
  list(after: UserId | null, limit: number): Promise<Page<User, UserId>>;
  find(id: UserId): Promise<User>;
  findByEmail(email: string): Promise<User | null>;
  /**
   * Without a password one is made, which is shown here and never again. Throws `email_taken`, `password_rejected`,
   * `overloaded`.
   */
  create(fields: NewUser, by: By): Promise<{ user: User; generated: string | null }>;
  /** Ends all sessions. Throws `own_account`. */
  disable(id: UserId, by: By): Promise<User>;
  enable(id: UserId, by: By): Promise<User>;
  /** They are in the tokens from the next refresh on. Throws `own_account` for who would no longer be an administrator. */
  setRoles(id: UserId, roles: readonly string[], by: By): Promise<User>;
  /** Ends all sessions; without a password one is made. Throws `password_rejected`, `overloaded`. */
  setPassword(id: UserId, password: string | null, by: By): Promise<{ ended: number; generated: string | null }>;
  /** Resolves to the number of sessions that were live. */
  endSessions(id: UserId, by: By): Promise<number>;
  /** With all sessions; the audit events stay. Throws `own_account`. */
  delete(id: UserId, by: By): Promise<User>;
}

export interface NewUser {
  email: string;
  password: string | null;
  roles: readonly string[];
}

export interface UserAdministrationParts {
  users: UserStore;
  sessions: SessionStore;
  hasher: PasswordHasher;
  revocations: Pick<Revocations, 'enforce'>;
  acceptPassword: AcceptPassword;
  clock: Clock;
  random: Random;
  ids: Ids;
}

const noSuchUser = () => new Refusal('not_found', { detail: 'There is no such user' });

export function createUserAdministration(parts: UserAdministrationParts): UserAdministration {
  const { users, sessions, hasher, revocations, acceptPassword, clock, random, ids } = parts;

  async function find(id: UserId): Promise<User> {
    const user = await users.find(id);
    if (user === null) throw noSuchUser();
    return user;
  }

  const event = (name: AuditEvent['event'], userId: UserId, { actor, caller }: By, details?: AuditEvent['details']) =>
    auditEvent(name, 'success', clock.now(), caller, { actor, userId, ...(details === undefined ? {} : { details }) });

  async function hashOf(password: string | null, email: Email) {
    const generated = password === null ? toBase64url(random.bytes(GENERATED_PASSWORD_BYTES)) : null;
    // What was made here is good by the way it was made.
    const accepted = generated ?? (await acceptPassword(password ?? '', email));
    return { generated, passwordHash: await hasher.hash(accepted) };
  }

  /** Somebody who locks himself out by mistake would need the command line to come in again. */
  function refuseOwn(id: UserId, by: By): void {
    // A UUID is taken in capitals too.
    if (by.userId === id.toLowerCase()) throw new Refusal('own_account');
  }

  return {
    find,
    async list(after, limit) {
      // One more than asked for says whether there are more.
      const found = await users.list(after, limit + 1);
      const items = found.slice(0, limit);
      return { items, next: found.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
    findByEmail: (email) => users.findByEmailKey(parseEmail(email).key),
    async create({ email: typed, password, roles }, by) {
      const email = parseEmail(typed);
      const { generated, passwordHash } = await hashOf(password, email);
      const user = makeUser({ email, passwordHash, roles }, clock.now(), ids);
      if (!(await users.create(user, email.key, event('user.created', user.id, by, { roles }))))
        throw new Refusal('email_taken');
      return { user, generated };
    },
    async disable(id, by) {
      refuseOwn(id, by);
      await users.disable(id, event('user.disabled', id, by));
      await revocations.enforce();
      return find(id);
    },
    async enable(id, by) {
      await users.enable(id, event('user.enabled', id, by));
      return find(id);
    },
    async setRoles(id, roles, by) {
      if (!roles.includes(ADMIN_ROLE)) refuseOwn(id, by);
      const user = await find(id);
      const { roles: before } = user;
      if (before.length === roles.length && before.every((role) => roles.includes(role))) return user;
      await users.setRoles(id, roles, event('user.roles_changed', id, by, { before, after: roles }));
      return find(id);
    },
    async setPassword(id, password, by) {
      const { email } = await find(id);
      const { generated, passwordHash } = await hashOf(password, parseEmail(email));
      const ended = await users.setPassword(id, passwordHash, event('password.set', id, by));
      if (ended === null) throw noSuchUser();
      await revocations.enforce();
      return { ended, generated };
    },
    async endSessions(id, by) {
      await find(id);
      const ended = await sessions.endAll(id, null, 'ended_by_admin', event('sessions.ended', id, by));
      await revocations.enforce();
      return ended;
    },
    async delete(id, by) {
      refuseOwn(id, by);
      const user = await find(id);
      if ((await users.delete(id, event('user.deleted', id, by))) === null) throw noSuchUser();
      await revocations.enforce();
      return user;
    },
  };
}
