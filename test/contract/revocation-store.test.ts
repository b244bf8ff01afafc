import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createAuditLog } from '../../src/adapters/postgres/audit.js';
import { createClientStore } from '../../src/adapters/postgres/client-store.js';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createRevocationStore } from '../../src/adapters/postgres/revocation-store.js';
import { createSessionStore } from '../../src/adapters/postgres/session-store.js';
import { createUserStore } from '../../src/adapters/postgres/user-store.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { CLOCK_TOLERANCE_S } from '../../src/domain/access-token.js';
import { auditEvent } from '../../src/domain/audit.js';
import { createClients } from '../../src/domain/clients.js';
import { createIds } from '../../src/domain/ids.js';
import type { Revocation, RevocationKind } from '../../src/domain/revocation.js';
import { type AuditEvent, instant, later, type SessionId, type UserId } from '../../src/domain/types.js';
import { fakeClock } from '../support/clock.js';
import { embeddedDatabase, postgresDatabase, withoutPostgres } from '../support/databases.js';
import { execute, rowsOf } from '../support/service.js';
import { makeSession } from '../support/sessions.js';

const WRITERS = 50;
const EACH = 4;
const ALL = 10_000;
/** Verifiers' clocks may be behind. Seconds. */
const TOLERANCE_S = 60;
const caller = { ip: null, place: null, userAgent: null, requestId: null };
const clock = fakeClock();
const now = clock.now();
/** The next whole second, the tolerance, and what the database took. */
function isWithin(t: Test, rule: Revocation | undefined, toleranceS: number): void {
  const earliest = (Math.floor(now / 1000) + 1 + toleranceS) * 1000;
  const notBefore = rule?.notBefore ?? 0;
  t.ok(notBefore >= earliest && notBefore <= earliest + 3_000, `${notBefore - earliest} ms`);
  t.equal(notBefore % 1000, 0);
}
const ids = createIds(clock, systemRandom);
const event = (name: AuditEvent['event']) => auditEvent(name, 'success', now, caller, { actor: 'service' });

async function arrange(database: Database) {
  const users = createUserStore(database);
  const sessions = createSessionStore(database);
  const revocations = createRevocationStore(database);
  await createClients(createClientStore(database), createAuditLog(database), clock, systemRandom).seed();

  async function newUser() {
    const id = ids.uuid() as UserId;
    const user = {
      id,
      email: `${id}@example.com`,
      emailVerified: false,
      passwordHash: 'x',
      passwordChangedAt: now,
      roles: [],
      disabledAt: null,
      createdAt: now,
    };
    await users.create(user, user.email, event('user.created'));
    return id;
  }

  async function newSession(userId: UserId, clientId = 'default') {
    const id = ids.uuid() as SessionId;
    const { session } = makeSession(now, [], { id, userId }).found;
    await sessions.create({ ...session, clientId, deviceName: 'phone', caller }, now, event('login.succeeded'));
    return id;
  }

  const append = (kind: RevocationKind, value: string) => revocations.append({ kind, value }, event('session.ended'));
  /** What `work` adds. */
  async function added(work: () => Promise<unknown>) {
    const last = await revocations.last();
    await work();
    return revocations.after(last, now, ALL);
  }

  return { users, sessions, revocations, newUser, newSession, append, added };
}

async function contract(t: Test, database: Database): Promise<void> {
  const { users, sessions, revocations, newUser, newSession, append, added } = await arrange(database);
  const clients = createClientStore(database);
  const [{ longest = 0 } = {}] = await database.query<{ longest: number }>(
    { name: 'longest', text: 'SELECT max(access_token_ttl) AS longest FROM clients' },
    [],
  );

  await t.test('where there is none there is no last', async (t) => {
    t.equal(await revocations.last(), 0);
    t.same(await revocations.after(0, now, ALL), []);
  });

  await t.test('a reader misses none of what many write at once, however long each takes to commit', async (t) => {
    let writing = true;
    const slowly = (value: string) =>
      database.transaction(async (sql) => {
        await sql.query(
          {
            name: 'slow_append',
            text: `INSERT INTO revocations (kind, value, revoked_at, expires_at) VALUES ('jti', $1, $2, $3)`,
          },
          [value, new Date(now), new Date(later(now, 60))],
        );
        await sql.query({ name: 'slow', text: 'SELECT pg_sleep(0.002)' }, []);
      });
    const writers = Array.from({ length: WRITERS }, async (_, writer) => {
      for (let i = 0; i < EACH; i++) await (i % 2 === 0 ? append('jti', `${writer}-${i}`) : slowly(`${writer}-${i}`));
    });
    const seen: number[] = [];
    const read = async () => {
      for (;;) {
        // A page that was read after the last commit and is empty: there is no more.
        const isLast = !writing;
        const page = await revocations.after(seen.at(-1) ?? 0, now, 7);
        seen.push(...page.map(({ id }) => id));
        if (isLast && page.length === 0) return;
      }
    };
    const written = Promise.all(writers).finally(() => {
      writing = false;
    });
    await Promise.all([written, read()]);
    const stored = (await rowsOf(database, 'revocations')).map(({ id }) => Number(id)).sort((a, b) => a - b);
    t.equal(stored.length, WRITERS * EACH);
    t.same(seen, stored);
    t.equal(await revocations.last(), stored.at(-1));
  });

  await t.test('an id is later than any before, though the clock of the database went back', async (t) => {
    const [{ value = 0 } = {}] = await database.query<{ value: number }>(
      {
        name: 'ahead',
        text: `SELECT setval('revocations_id_seq', (extract(epoch FROM now()) * 1000000)::bigint + 3600000000)::float8 AS value`,
      },
      [],
    );
    const [one] = await added(() => append('jti', 'late'));
    t.ok(Number(one?.id) > value && Number.isSafeInteger(one?.id));
    await execute(database, `DELETE FROM revocations WHERE value = 'late'; `);
    await execute(database, `SELECT setval('revocations_id_seq', 1)`);
    const [two] = await added(() => append('jti', 'restored'));
    t.ok(Math.abs(Number(two?.id) / 1000 - Date.now()) < 600_000, 'a sequence of a backup goes by the clock');
  });

  await t.test('every way of ending a session leaves its rules, and one that ends nothing leaves none', async (t) => {
    const rules = (found: Awaited<ReturnType<typeof added>>) =>
      found.map(({ kind, value }) => `${kind} ${value}`).sort();
    const user = await newUser();
    const [a, b, c] = [await newSession(user), await newSession(user), await newSession(user)];
    const end = () => sessions.end(a, user, 'logout', event('session.ended'));
    t.same(rules(await added(end)), [`sid ${a}`]);
    t.same(rules(await added(end)), [], 'ended already');
    const keeping = () => sessions.endAll(user, b, 'ended_by_user', event('sessions.ended'));
    t.same(rules(await added(keeping)), [`sid ${c}`]);
    const d = await newSession(user);
    const change = {
      userId: user,
      passwordHash: 'y',
      unlessChangedSince: now,
      keep: d,
      audit: event('password.changed'),
    };
    t.same(rules(await added(() => users.changePassword(change))), [`sid ${b}`]);
    const set = () => users.setPassword(user, 'z', event('password.set'));
    t.same(rules(await added(set)), [`sid ${d}`]);

    const other = await newUser();
    const [e, f] = [await newSession(other), await newSession(other)];
    const disable = () => users.disable(other, event('user.disabled'));
    t.same(rules(await added(disable)), [`sid ${e}`, `sid ${f}`].sort());
    await users.enable(other, event('user.enabled'));
    await newSession(other);
    t.same(rules(await added(() => users.delete(other, event('user.deleted')))), [`sub ${other}`]);
    t.same(rules(await added(() => users.delete(other, event('user.deleted')))), [], 'deleted already');

    await execute(
      database,
      `INSERT INTO clients SELECT (jsonb_populate_record(c, '{"client_id": "shop"}')).* FROM clients c WHERE client_id = 'default'`,
    );
    await newSession(user, 'shop');
    t.same(rules(await added(() => clients.delete('shop', event('client.deleted')))), ['client shop']);
  });

  await t.test('an instant is the next whole second: what was issued in this one is revoked too', async (t) => {
    const user = await newUser();
    const [rule] = await added(() => users.delete(user, event('user.deleted')));
    isWithin(t, rule, 2 * CLOCK_TOLERANCE_S);
  });

  await t.test('an instant is later than what nodes may have issued whose clocks are ahead', async (t) => {
    for (const kind of ['client', 'all'] as const) {
      const [rule] = await added(() => append(kind, kind === 'all' ? '' : 'ahead'));
      isWithin(t, rule, CLOCK_TOLERANCE_S);
    }
    const user = await newUser();
    // A user who stays is let in again at once: his sessions were ended each by itself.
    const [rule] = await added(() => sessions.revokeUser(user, event('revocation.created')));
    isWithin(t, rule, 0);
  });

  await t.test('the wait for the lock counts: what others have issued meanwhile is revoked too', async (t) => {
    // The embedded database has one connection, which is waited for instead.
    if (database.pool === undefined) return;
    let appended: Promise<number | null> = Promise.resolve(null);
    await database.transaction(async (sql) => {
      await sql.query({ name: 'test_hold', text: 'SELECT keyturn_revocation_id()' }, []);
      appended = revocations.append({ kind: 'all', value: '' }, event('revocation.created'));
      await sleep(600);
    });
    const notBefore = await appended;
    t.ok((notBefore ?? 0) - now >= 600 + CLOCK_TOLERANCE_S * 1000);
  });

  await t.test('a session past its end is no live one, and its access tokens are revoked all the same', async (t) => {
    const user = await newUser();
    const id = await newSession(user);
    await execute(database, `UPDATE sessions SET idle_expires_at = created_at WHERE id = '${id}'`);
    let wasLive = true;
    const made = await added(async () => {
      wasLive = await sessions.end(id, user, 'logout', event('session.ended'));
    });
    t.match(made, [{ kind: 'sid', value: id }]);
    t.same([made.length, wasLive], [1, false]);
  });

  await t.test('who revokes a user waits for the login in progress, and ends what it began', async (t) => {
    if (database.pool === undefined) return;
    const user = await newUser();
    const template = await newSession(user);
    const begun = ids.uuid();
    let revoked: Promise<unknown> = Promise.resolve();
    await database.transaction(async (sql) => {
      await sql.query({ name: 'test_login', text: 'SELECT id FROM users WHERE id = $1 FOR SHARE' }, [user]);
      revoked = sessions.revokeUser(user, event('revocation.created'));
      await sleep(200);
      const copied = `INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object('id', $2::text, 'revoked_at', NULL, 'revoke_reason', NULL))).* FROM sessions s WHERE id = $1`;
      await sql.query({ name: 'test_begin', text: copied }, [template, begun]);
    });
    await revoked;
    const [row] = await rowsOf(database, 'sessions', `id = '${begun}'`);
    t.ok(row?.revoked_at instanceof Date);
  });

  await t.test('a rule lasts as long as a token that it concerns can be out', async (t) => {
    const user = await newUser();
    await newSession(user);
    const ends = later(now, longest + TOLERANCE_S);
    for (const kind of ['jti', 'sid', 'sub'] as const) {
      const [rule] = await added(() => append(kind, `x ${kind}`));
      t.match(rule, { kind, expiresAt: ends }, kind);
    }
    for (const kind of ['client', 'all'] as const) {
      const [rule] = await added(() => append(kind, kind === 'all' ? '' : 'x'));
      t.match(rule, { kind, expiresAt: later(now, 90 * 86_400) }, `${kind}: as long as a session`);
    }
    await execute(database, `UPDATE clients SET access_token_ttl = 7200 WHERE client_id = 'default'`);
    const [longer] = await added(() => append('jti', 'longer'));
    t.match(longer, { expiresAt: later(now, 7200 + TOLERANCE_S) });
    await execute(database, `UPDATE clients SET access_token_ttl = ${longest} WHERE client_id = 'default'`);
  });

  await t.test('what has expired is not read, and is counted as read', async (t) => {
    const last = await revocations.last();
    await append('jti', 'brief');
    const ends = later(now, longest + TOLERANCE_S);
    t.equal((await revocations.after(last, instant(ends - 1), ALL)).length, 1);
    t.equal((await revocations.after(last, ends, ALL)).length, 0);
    t.ok((await revocations.last()) > last);
    const kinds = (await revocations.after(0, later(ends, 1), ALL)).map(({ kind }) => kind);
    t.same(
      kinds.filter((kind) => kind === 'jti'),
      ['jti'],
      'one of a client with longer tokens',
    );
    t.same(await revocations.after(0, later(now, 91 * 86_400), ALL), []);
  });

  await t.test('a node whose clock is far ahead reads what is live all the same', async (t) => {
    await execute(
      database,
      `INSERT INTO revocations (kind, value, revoked_at, expires_at) VALUES ('jti', 'live', now(), now() + interval '5 minutes')`,
    );
    const found = await revocations.after(0, later(instant(Date.now()), 86_400), ALL);
    t.ok(found.some(({ value }) => value === 'live'));
  });

  await t.test('those who end the same sessions at once never wait for each other for ever', async (t) => {
    const user = await newUser();
    for (let round = 0; round < 6; round++) {
      const made = await Promise.all(Array.from({ length: 12 }, () => newSession(user)));
      // A row that was changed is found at another place: one reader meets the sessions in another order than the next.
      const moves = made.map((id, i) => execute(database, `UPDATE sessions SET generation = ${i} WHERE id = '${id}'`));
      const work = [
        ...moves,
        ...Array.from({ length: 6 }, () => sessions.endAll(user, null, 'ended_by_user', event('sessions.ended'))),
        ...made.map((id) => sessions.end(id, user, 'logout', event('session.ended'))),
        users.setPassword(user, 'x', event('password.set')),
      ];
      const settled = await Promise.allSettled(work);
      t.same(
        settled.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : [])),
        [],
        `round ${round}`,
      );
      const left = await rowsOf(database, 'sessions', `user_id = '${user}' AND revoked_at IS NULL`);
      t.equal(left.length, 0);
      const rules = await rowsOf(database, 'revocations', `value IN (${made.map((id) => `'${id}'`).join()})`);
      t.equal(rules.length, made.length, 'one rule a session');
    }
  });
}

t.test('on the embedded database', async (t) => contract(t, await embeddedDatabase(t)));
t.test('on PostgreSQL', { skip: withoutPostgres }, async (t) => contract(t, await postgresDatabase(t, WRITERS + 2)));
