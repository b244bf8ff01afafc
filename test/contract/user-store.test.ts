import t from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createSessionStore } from '../../src/adapters/postgres/session-store.js';
import { createUserStore } from '../../src/adapters/postgres/user-store.js';
import { systemClock } from '../../src/adapters/system/clock.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { auditEvent } from '../../src/domain/audit.js';
import { clientDefaults } from '../../src/domain/clients.js';
import { createIds } from '../../src/domain/ids.js';
import { sha256 } from '../../src/domain/refresh-token.js';
import {
  type AuditEvent,
  type Instant,
  instant,
  later,
  type SessionId,
  type User,
  type UserId,
} from '../../src/domain/types.js';
import type { UserStore } from '../../src/ports/user-store.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';

const ids = createIds(systemClock, systemRandom);
const caller = { ip: '192.0.2.1', place: 'NL', userAgent: 'test', requestId: 'request' };
/** With milliseconds, which have to come back. */
const AT = instant(Date.UTC(2026, 2, 1, 12, 0, 0, 251));

const userWith = (email: string): User => ({
  id: ids.uuid() as UserId,
  email,
  emailVerified: false,
  passwordHash: '$argon2id$first',
  passwordChangedAt: AT,
  roles: ['admin', 'a role with, odd {characters} "and" \\quotes'],
  disabledAt: null,
  createdAt: AT,
});
const created = (user: User) =>
  auditEvent('user.created', 'success', AT, caller, { actor: `user:${user.id}`, userId: user.id });
const changed = (user: User, at: Instant) =>
  auditEvent('password.changed', 'success', at, caller, { actor: `user:${user.id}`, userId: user.id });

async function stored(store: UserStore, email: string): Promise<User> {
  const user = userWith(email);
  if (!(await store.create(user, email, created(user)))) throw new Error('the e-mail is taken');
  return user;
}

/** Sessions end with a password change, in its transaction, so there have to be some. */
async function session(database: Database, user: User): Promise<SessionId> {
  const id = ids.uuid() as SessionId;
  const data = {
    clientId: 'web',
    name: 'Web',
    type: 'public',
    audiences: ['api'],
    grants: [],
    createdAt: new Date(AT),
  };
  await database.orm((prisma) =>
    prisma.client.upsert({ where: { clientId: 'web' }, update: {}, create: { ...clientDefaults, ...data } }),
  );
  const made = await createSessionStore(database).create(
    {
      id,
      userId: user.id,
      clientId: 'web',
      audience: 'api',
      scope: '',
      generation: 0,
      currentHash: sha256('secret'),
      previousHash: null,
      rotationSalt: systemRandom.bytes(32),
      rotations: [],
      familyKey: systemRandom.bytes(32),
      idleExpiresAt: later(AT, 86_400),
      expiresAt: later(AT, 86_400),
      revokedAt: null,
      revokeReason: null,
      stepUpAt: null,
      createdAt: AT,
      deviceName: null,
      caller,
    },
    user.passwordChangedAt,
    auditEvent('login.succeeded', 'success', AT, caller, { actor: `user:${user.id}`, userId: user.id, sessionId: id }),
  );
  if (!made) throw new Error('no session');
  return id;
}

const liveOf = async (database: Database, user: User) =>
  (await rowsOf(database, 'sessions', `user_id = '${user.id}' AND revoked_at IS NULL`)).map(({ id }) => id);
const eventsOf = async (database: Database, user: User, event: string) =>
  rowsOf(database, 'audit_events', `user_id = '${user.id}' AND event = '${event}'`);

t.test('user store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const store = createUserStore(database);

    t.test('a user comes back as it was stored, by id and by e-mail', async (t) => {
      const user = userWith('Ada@Example.com');
      t.equal(await store.create(user, 'ada@example.com', created(user)), true);
      t.strictSame(await store.find(user.id), user);
      t.strictSame(await store.findByEmailKey('ada@example.com'), user);
      t.equal(await store.findByEmailKey('Ada@Example.com'), null, 'the key is compared as it is');
      t.equal(await store.find(ids.uuid() as UserId), null);
      t.match(await eventsOf(database, user, 'user.created'), [
        { outcome: 'success', actor: `user:${user.id}`, ip: '192.0.2.1', user_agent: 'test', request_id: 'request' },
      ]);
      const disabled = later(AT, 60);
      await execute(
        database,
        `UPDATE users SET disabled_at = '${new Date(disabled).toISOString()}' WHERE id = '${user.id}'`,
      );
      t.equal((await store.find(user.id))?.disabledAt, disabled);
    });

    t.test('an e-mail that is taken stores nothing, nor an event', async (t) => {
      await stored(store, 'taken@example.com');
      const second = userWith('taken@example.com');
      t.equal(await store.create(second, 'taken@example.com', created(second)), false);
      t.equal(await store.find(second.id), null);
      t.strictSame(await eventsOf(database, second, 'user.created'), []);
    });

    t.test('of ten concurrent creations of one e-mail exactly one wins', async (t) => {
      const users = Array.from({ length: 10 }, () => userWith('race@example.com'));
      const results = await Promise.all(users.map((user) => store.create(user, 'race@example.com', created(user))));
      t.equal(results.filter((won) => won).length, 1);
      const winner = users[results.indexOf(true)];
      t.strictSame(await store.findByEmailKey('race@example.com'), winner);
      const rows = await Promise.all(users.map((user) => eventsOf(database, user, 'user.created')));
      t.strictSame(
        rows.map(({ length }) => length),
        results.map(Number),
        'and only its event is written',
      );
    });

    t.test('a rehash takes the place of the hash that was read, and of no other', async (t) => {
      const user = await stored(store, 'rehash@example.com');
      await store.rehash(user.id, '$argon2id$other', '$argon2id$second');
      t.strictSame(await store.find(user.id), user);
      await store.rehash(user.id, user.passwordHash, '$argon2id$second');
      t.strictSame(await store.find(user.id), { ...user, passwordHash: '$argon2id$second' });
    });

    t.test('a changed password ends all sessions but one, in the same transaction', async (t) => {
      const user = await stored(store, 'change@example.com');
      const other = await stored(store, 'bystander@example.com');
      const [keep, , theirs] = [
        await session(database, user),
        await session(database, user),
        await session(database, other),
      ];
      const at = later(AT, 60);
      const change = { userId: user.id, passwordHash: '$argon2id$new', unlessChangedSince: AT, keep };
      t.equal(await store.changePassword({ ...change, audit: changed(user, at) }), true);
      t.strictSame(await store.find(user.id), { ...user, passwordHash: '$argon2id$new', passwordChangedAt: at });
      t.strictSame(await liveOf(database, user), [keep]);
      t.strictSame(await liveOf(database, other), [theirs]);
      const ended = await rowOf(database, 'sessions', `user_id = '${user.id}' AND revoked_at IS NOT NULL`);
      t.match(ended, { revoke_reason: 'password_changed', revoked_at: new Date(at) });
      t.match(await eventsOf(database, user, 'password.changed'), [{ details: { ended: 1 } }]);
    });

    t.test('a password that was changed meanwhile is not changed again, and nothing ends', async (t) => {
      const user = await stored(store, 'meanwhile@example.com');
      const [keep, other] = [await session(database, user), await session(database, user)];
      const change = { userId: user.id, passwordHash: '$argon2id$new', keep, audit: changed(user, later(AT, 60)) };
      t.equal(await store.changePassword({ ...change, unlessChangedSince: instant(AT - 1) }), false);
      t.strictSame(await store.find(user.id), user);
      t.strictSame((await liveOf(database, user)).sort(), [keep, other].sort());
      t.strictSame(await eventsOf(database, user, 'password.changed'), []);
    });

    t.test('of ten concurrent changes of one password exactly one wins', async (t) => {
      const user = await stored(store, 'changes@example.com');
      const keep = await session(database, user);
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          store.changePassword({
            userId: user.id,
            passwordHash: `$argon2id$${i}`,
            unlessChangedSince: AT,
            keep,
            audit: changed(user, later(AT, i + 1)),
          }),
        ),
      );
      t.equal(results.filter((won) => won).length, 1);
      t.equal((await store.find(user.id))?.passwordHash, `$argon2id$${results.indexOf(true)}`);
      t.equal((await eventsOf(database, user, 'password.changed')).length, 1);
    });

    t.test('a disabled user’s password is not changed', async (t) => {
      const user = await stored(store, 'disabled@example.com');
      const keep = await session(database, user);
      await execute(database, `UPDATE users SET disabled_at = now() WHERE id = '${user.id}'`);
      const change = {
        userId: user.id,
        passwordHash: 'x',
        unlessChangedSince: AT,
        keep,
        audit: changed(user, later(AT, 1)),
      };
      t.equal(await store.changePassword(change), false);
    });

    const by = (event: AuditEvent['event'], user: User, at: Instant) =>
      auditEvent(event, 'success', at, caller, { actor: 'cli:ops', userId: user.id });
    const nobody = { ...userWith('nobody@example.com'), id: ids.uuid() as UserId };

    t.test('a disabled user’s sessions end in the same transaction, and no other’s; once', async (t) => {
      const [user, other] = [await stored(store, 'off@example.com'), await stored(store, 'on@example.com')];
      await session(database, user);
      const theirs = await session(database, other);
      const at = later(AT, 60);
      t.equal(await store.disable(user.id, by('user.disabled', user, at)), true);
      t.strictSame(await store.find(user.id), { ...user, disabledAt: at });
      t.strictSame([await liveOf(database, user), await liveOf(database, other)], [[], [theirs]]);
      t.match(await rowOf(database, 'sessions', `user_id = '${user.id}'`), { revoke_reason: 'account_disabled' });
      t.match(await eventsOf(database, user, 'user.disabled'), [{ actor: 'cli:ops', details: { ended: 1 } }]);

      t.equal(await store.disable(user.id, by('user.disabled', user, later(AT, 90))), false, 'already so');
      t.equal((await store.find(user.id))?.disabledAt, at);
      t.equal(await store.enable(user.id, by('user.enabled', user, at)), true);
      t.strictSame(await store.find(user.id), user);
      t.equal(await store.enable(user.id, by('user.enabled', user, at)), false, 'already so');
      for (const event of ['user.disabled', 'user.enabled'])
        t.equal((await eventsOf(database, user, event)).length, 1, event);
    });

    t.test('a password is set whatever it was, and all sessions end', async (t) => {
      const user = await stored(store, 'set@example.com');
      await session(database, user);
      await session(database, user);
      const at = later(AT, 60);
      t.equal(await store.setPassword(user.id, '$argon2id$set', by('password.set', user, at)), 2);
      t.strictSame(await store.find(user.id), { ...user, passwordHash: '$argon2id$set', passwordChangedAt: at });
      t.strictSame(await liveOf(database, user), []);
      t.match(await eventsOf(database, user, 'password.set'), [{ details: { ended: 2 } }]);
    });

    t.test('roles are replaced', async (t) => {
      const user = await stored(store, 'roles@example.com');
      const roles = ['support', 'a {role}, "so" \\ called'];
      t.equal(await store.setRoles(user.id, roles, by('user.roles_changed', user, AT)), true);
      t.strictSame((await store.find(user.id))?.roles, roles);
      t.equal(await store.setRoles(user.id, [], by('user.roles_changed', user, AT)), true);
      t.strictSame(await store.find(user.id), { ...user, roles: [] });
      t.equal((await eventsOf(database, user, 'user.roles_changed')).length, 2);
    });

    t.test('a deleted user is gone with all sessions; what was audited stays', async (t) => {
      const [user, other] = [await stored(store, 'gone@example.com'), await stored(store, 'stays@example.com')];
      await session(database, user);
      const theirs = await session(database, other);
      t.equal(await store.delete(user.id, by('user.deleted', user, AT)), 1);
      t.equal(await store.find(user.id), null);
      t.strictSame(await rowsOf(database, 'sessions', `user_id = '${user.id}'`), []);
      t.strictSame(await liveOf(database, other), [theirs]);
      t.equal((await eventsOf(database, user, 'user.created')).length, 1);
      t.match(await eventsOf(database, user, 'user.deleted'), [{ actor: 'cli:ops', details: { ended: 1 } }]);
      t.equal(await store.delete(user.id, by('user.deleted', user, AT)), null);
      await stored(store, 'gone@example.com');
    });

    t.test('nothing is stored about a user who is not there', async (t) => {
      const event = by('user.disabled', nobody, AT);
      t.strictSame(
        [
          await store.disable(nobody.id, event),
          await store.enable(nobody.id, event),
          await store.setRoles(nobody.id, [], event),
          await store.setPassword(nobody.id, 'x', event),
          await store.delete(nobody.id, event),
        ],
        [false, false, false, null, null],
      );
      t.strictSame(await rowsOf(database, 'audit_events', `user_id = '${nobody.id}'`), []);
    });

    t.test('logins that race with a deletion leave no session, and none fails', async (t) => {
      const user = await stored(store, 'deleted-meanwhile@example.com');
      const logins = Array.from({ length: 8 }, () => session(database, user).catch((error: Error) => error.message));
      await store.delete(user.id, by('user.deleted', user, AT));
      for (const outcome of await Promise.all(logins)) t.match(outcome, /^(no session|[0-9a-f-]{36})$/);
      t.strictSame(await rowsOf(database, 'sessions', `user_id = '${user.id}'`), []);
    });

    t.test('a list has every user once, the oldest first, in parts of any size', async (t) => {
      const all = await store.list(null, 1000);
      t.strictSame(
        all.map(({ id }) => id),
        all.map(({ id }) => id).sort(),
      );
      const parts: User[] = [];
      for (let part = await store.list(null, 3); part.length > 0; part = await store.list(part.at(-1)?.id ?? null, 3))
        parts.push(...part);
      t.strictSame(parts, all);
      t.equal(all.length, (await rowsOf(database, 'users')).length);
    });
  }),
);
