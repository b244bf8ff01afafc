/** What holds for rotations, of one session and of many at a time. */
import { createHmac } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createSessionStore } from '../../src/adapters/postgres/session-store.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { auditEvent } from '../../src/domain/audit.js';
import { nextSecret, sha256 } from '../../src/domain/refresh-token.js';
import { later } from '../../src/domain/types.js';
import type { RotationAttempt } from '../../src/ports/session-store.js';
import { onEachDatabase, postgresDatabase, withoutPostgres } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';
import { presented, tampered } from '../support/sessions.js';
import { attempt, caller, demandPasswordIn, now, storedSessions } from '../support/stored-sessions.js';
import { watched } from '../support/watched-database.js';

const CALLERS = 50;

type Made = Parameters<typeof attempt>[0];

const tagOf = (familyKey: Uint8Array, signed: Uint8Array) =>
  new Uint8Array(createHmac('sha256', familyKey).update(signed).digest().subarray(0, 16));

async function contract(t: Test, database: Database): Promise<void> {
  const { store, newUser, newSession } = await storedSessions(database);
  const demandPassword = demandPasswordIn(database);
  const user = await newUser();

  t.test('a rotation leaves an event if it is asked to, and one that changes nothing leaves none', async (t) => {
    const made = await newSession(user);
    const audit = auditEvent('refresh.rotated', 'success', now, caller, {
      actor: 'anonymous',
      sessionId: made.session.id,
      details: { generation: 1 },
    });
    const events = () => rowsOf(database, 'audit_events', `session_id = '${made.session.id}' ORDER BY id`);
    const first = attempt(made, { audits: [audit] });
    t.match(await store.rotate(first), { session: { id: made.session.id, generation: 1, userId: user.id } });
    t.equal(await store.rotate(first), null);
    t.match(await events(), [
      { event: 'login.succeeded' },
      {
        event: 'refresh.rotated',
        actor: `user:${user.id}`,
        user_id: user.id,
        client_id: 'default',
        details: { generation: 1 },
      },
    ]);
    t.equal((await events()).length, 2);
  });

  t.test('a rotation moves the row to the next generation and keeps the one before', async (t) => {
    const made = await newSession(user);
    const at = later(now, 60);
    const first = attempt(made, { key: 'K1', at });
    const rotated = await store.rotate(first);
    const found = await store.find(made.session.id);
    t.same(found?.session, {
      ...made.session,
      generation: 1,
      previousHash: made.session.currentHash,
      currentHash: first.nextHash,
      rotationSalt: first.salt,
      rotations: [{ at, key: 'K1' }],
      idleExpiresAt: later(at, 14 * 86_400),
    });
    t.match(found, { ...rotated }, 'and what its tokens are made of is told at once');
    t.equal(await store.rotate(first), null, 'and the old token rotates no more');
  });

  t.test('a row remembers its last four rotations and no more', async (t) => {
    const made = await newSession(user);
    let { token } = made;
    for (let n = 1; n <= 7; n++) {
      const next = attempt({ ...made, token }, { key: `K${n}`, at: later(now, n) });
      t.ok(await store.rotate(next));
      token = { ...token, generation: n, secret: nextSecret(token.secret, next.salt, made.session.id, n) };
      const signed = Buffer.concat([token.signed.subarray(0, 16), Buffer.from([0, 0, 0, n]), token.secret]);
      token = { ...token, signed, tag: tagOf(made.session.familyKey, signed) };
    }
    const found = await store.find(made.session.id);
    t.same(
      found?.session.rotations.map(({ key }) => key),
      ['K7', 'K6', 'K5', 'K4'],
    );
    t.equal(found?.session.generation, 7);
  });

  t.test('the idle end never passes the absolute end', async (t) => {
    const made = await newSession(user);
    await execute(database, `UPDATE sessions SET idle_expires_at = expires_at WHERE id = '${made.session.id}'`);
    const rotated = await store.rotate(attempt(made, { at: later(now, 89 * 86_400) }));
    t.equal(rotated?.session.idleExpiresAt, made.session.expiresAt);
  });

  t.test('an address and its place are replaced together, or stay', async (t) => {
    for (const [ip, place, after] of [
      ['198.51.100.1', 'DE', { ip: '198.51.100.1', place: 'DE' }],
      ['198.51.100.1', null, { ip: '198.51.100.1', place: null }],
      [null, null, { ip: '192.0.2.1', place: 'NL' }],
    ] as const) {
      const made = await newSession(user);
      await store.rotate(attempt(made, { caller: { ...caller, ip, place } }));
      t.match(await rowOf(database, 'sessions', `id = '${made.session.id}'`), after);
    }
  });

  t.test('nothing rotates that must not', async (t) => {
    const cases: [string, (made: Made) => Partial<RotationAttempt>, string?][] = [
      ['another generation', () => ({ generation: 1 })],
      ['a wrong secret', () => ({ secretHash: sha256('x') })],
      ['a wrong tag', ({ text }) => ({ tagHash: sha256(presented(tampered(text, 'tag')).tag) })],
      ['a tag for something else', ({ token }) => ({ signed: token.signed.subarray(1) })],
      ['another client', () => ({ clientId: 'other' })],
      ['the idle end reached', ({ session }) => ({ at: session.idleExpiresAt })],
      [
        'a session that was revoked',
        () => ({}),
        `UPDATE sessions SET revoked_at = now(), revoke_reason = 'logout' WHERE id = $`,
      ],
      [
        'the absolute end reached',
        () => ({}),
        `UPDATE sessions SET expires_at = '2026-03-01T12:00:00.250Z' WHERE id = $`,
      ],
      [
        'the key of the latest rotation',
        () => ({ key: 'K' }),
        `UPDATE sessions SET rotations = '[{"at":1,"key":"K"}]' WHERE id = $`,
      ],
      [
        'a disabled user',
        () => ({}),
        'UPDATE users SET disabled_at = now() WHERE id = (SELECT user_id FROM sessions WHERE id = $)',
      ],
      ['a user without the role', () => ({}), `UPDATE sessions SET client_id = 'keyturn-admin' WHERE id = $`],
    ];
    for (const [name, change, sql] of cases) {
      const made = await newSession(await newUser());
      if (sql !== undefined) await execute(database, sql.replace('$', `'${made.session.id}'`));
      const before = await store.find(made.session.id);
      t.equal(await store.rotate(attempt(made, change(made))), null, name);
      const good = await Promise.all([1, 2, 3].map(() => newSession(user)));
      const [bad, ...others] = await Promise.all([
        store.rotate(attempt(made, change(made))),
        ...good.map((one) => store.rotate(attempt(one))),
      ]);
      t.equal(bad, null, `${name}, at the same time as others`);
      t.ok(others.every(Boolean), `${name}: which are rotated`);
      t.same(await store.find(made.session.id), before, `${name}: the row is untouched`);
    }
  });

  for (const [name, keyOf] of [
    ['the same key', () => 'K'],
    ['different keys', (n: number) => `K${n}`],
    ['no key', () => null],
  ] as const) {
    t.test(`of ${CALLERS} parallel rotations with ${name} exactly one wins`, async (t) => {
      const made = await newSession(user);
      const attempts = Array.from({ length: CALLERS }, (_, n) => attempt(made, { key: keyOf(n) }));
      const results = await Promise.all(attempts.map((one) => store.rotate(one)));
      const winners = results.flatMap((result, n) => (result === null ? [] : [n]));
      t.equal(winners.length, 1);
      const found = await store.find(made.session.id);
      t.equal(found?.session.generation, 1);
      t.same(found?.session.currentHash, attempts[winners[0] ?? -1]?.nextHash, 'the row is the winner’s');
      t.equal(found?.session.rotations.length, 1);
    });
  }

  t.test(
    'a session that needs the password rotates with the proof for this very demand, and needs it no more',
    async (t) => {
      const made = await newSession(user);
      const asked = later(now, 5);
      await demandPassword(made.session.id, asked);
      t.equal((await store.find(made.session.id))?.session.stepUpAt, asked);
      t.equal(await store.rotate(attempt(made)), null);
      t.equal(await store.rotate(attempt(made, { proved: later(now, 4) })), null);
      const about = { actor: 'anonymous', sessionId: made.session.id };
      const audits = (['refresh.rotated', 'session.stepped_up'] as const).map((name) =>
        auditEvent(name, 'success', now, caller, about),
      );
      t.match(await store.rotate(attempt(made, { proved: asked, audits })), {
        session: { generation: 1, stepUpAt: null },
      });
      const events = await rowsOf(
        database,
        'audit_events',
        `session_id = '${made.session.id}' AND event <> 'login.succeeded' ORDER BY event`,
      );
      const whose = { actor: `user:${user.id}`, user_id: user.id, client_id: 'default' };
      t.match(events, [
        { event: 'refresh.rotated', ...whose },
        { event: 'session.stepped_up', ...whose },
      ]);
    },
  );

  t.test('a proof that comes when nothing is demanded any more rotates nothing', async (t) => {
    const made = await newSession(user);
    t.equal(await store.rotate(attempt(made, { proved: now })), null);
  });

  t.test('of parallel rotations and the demand for a password none slips through after it', async (t) => {
    for (let i = 0; i < 10; i++) {
      const made = await newSession(user);
      const [rotated] = await Promise.all([store.rotate(attempt(made)), demandPassword(made.session.id, now)]);
      const found = await store.find(made.session.id);
      t.equal(found?.session.generation, rotated === null ? 0 : 1);
      t.equal(found?.session.stepUpAt, now, 'and the demand is never lost');
    }
  });

  t.test('those that are asked for at one time share their statements, and each gets its own', async (t) => {
    const seen = watched(database);
    const together = createSessionStore(seen);
    const all = await Promise.all(Array.from({ length: CALLERS }, () => newSession(user)));
    const attempts = all.map((made, n) => attempt(made, { key: `K${n}`, at: later(now, n) }));
    const results = await Promise.all(attempts.map((one) => together.rotate(one)));
    const names = seen.asked();
    t.ok(names.length <= CALLERS / 8, names.join(', '));
    for (const [n, made] of all.entries()) {
      const { nextHash, salt, at } = attempts[n] ?? attempt(made);
      const found = await store.find(made.session.id);
      t.match(found, { ...results[n] });
      t.match(found?.session, { id: made.session.id, generation: 1, rotations: [{ at, key: `K${n}` }] });
      t.same([found?.session.currentHash, found?.session.rotationSalt], [nextHash, salt]);
    }
  });

  t.test('a single one takes one statement, without a row to be locked before', async (t) => {
    const seen = watched(database);
    t.ok(await createSessionStore(seen).rotate(attempt(await newSession(user))));
    t.same(seen.asked(), ['session_rotate']);
  });

  t.test('what no statement can be made of fails by itself alone', async (t) => {
    const all = await Promise.all(Array.from({ length: 8 }, () => newSession(user)));
    const attempts = all.map((made, n) => attempt(made, n === 3 ? { key: 'no text has \u0000 in it' } : {}));
    const results = await Promise.allSettled(attempts.map((one) => store.rotate(one)));
    t.match(
      results.map((result, n) => (result.status === 'fulfilled' ? result.value?.session.id === all[n]?.session.id : n)),
      [true, true, true, 3, true, true, true, true],
    );
    t.match(results[3], { reason: { name: 'DatabaseFault' } });
  });

  t.test('a row that cannot be read fails by itself alone', async (t) => {
    const all = await Promise.all(Array.from({ length: 4 }, () => newSession(user)));
    await execute(database, `UPDATE sessions SET expires_at = 'infinity' WHERE id = '${all[1]?.session.id}'`);
    const results = await Promise.allSettled(all.map((made) => store.rotate(attempt(made))));
    t.match([results[0], results[2], results[3]], Array(3).fill({ status: 'fulfilled', value: Object }));
  });

  t.test('what is asked for while the database is away fails for all, and changes nothing', async (t) => {
    const seen = watched(database);
    const together = createSessionStore(seen);
    const all = await Promise.all(Array.from({ length: 8 }, () => newSession(user)));
    seen.setAway(true);
    const results = await Promise.allSettled(all.map((made) => together.rotate(attempt(made))));
    t.match(results, Array(8).fill({ status: 'rejected', reason: { code: 'store_unavailable' } }));
    seen.setAway(false);
    t.ok((await Promise.all(all.map((made) => together.rotate(attempt(made))))).every(Boolean));
  });
}

t.test('rotations', (t) => onEachDatabase(t, contract));

t.test('a session that somebody holds keeps nobody waiting but its own', { skip: withoutPostgres }, async (t) => {
  const database = await postgresDatabase(t);
  const { store, newUser, newSession } = await storedSessions(database);
  const user = await newUser();
  const all = await Promise.all(Array.from({ length: 20 }, () => newSession(user)));
  const [held, ...others] = all.map((made) => attempt(made));
  const waited = await database.transaction(async (sql) => {
    const lock = { name: 'test_hold', text: 'SELECT id FROM sessions WHERE id = $1 FOR UPDATE' };
    await sql.query(lock, [held?.sessionId]);
    let isOver = false;
    const waiting = store.rotate(held as RotationAttempt).finally(() => {
      isOver = true;
    });
    const results = await Promise.all(others.map((one) => store.rotate(one)));
    t.ok(results.every(Boolean), 'the others are rotated');
    // More calls than are made at one time are held up.
    const again = await newSession(user);
    t.ok(await store.rotate(attempt(again)), 'and whoever comes later, too');
    t.notOk(isOver);
    return { waiting };
  });
  t.match(await waited.waiting, { session: { id: held?.sessionId, generation: 1 } }, 'and then it is rotated as well');
});

t.test(
  'several rows are looked up one by one, also by a plan from when there were none',
  { skip: withoutPostgres },
  async (t) => {
    const database = await postgresDatabase(t, 2);
    const { newUser, newSession } = await storedSessions(database);
    const plans = new Map<string, string>();
    const explained: Database = {
      ...database,
      async query({ name, text }, values) {
        const rows = await database.query<object>({ name: `explain_${name}`, text: `EXPLAIN ${text}` }, values);
        plans.set(name, rows.flatMap(Object.values).join('\n'));
        return [];
      },
    };
    const made = await newSession(await newUser());
    for (const size of [16, 8, 4, 2]) {
      const { rotate } = createSessionStore(explained);
      await Promise.all(Array.from({ length: size }, () => rotate(attempt(made))));
      const plan = plans.get(`session_rotate_${size}`) ?? '';
      t.match(plan, 'LockRows');
      t.notMatch(plan, /Seq Scan on (sessions|users)/, `of ${size}`);
    }
  },
);

t.test('the database computes the HMAC that Node computes', (t) =>
  onEachDatabase(t, async (t, database) => {
    for (let n = 0; n < 64; n++) {
      const key = systemRandom.bytes(32);
      const message = systemRandom.bytes(n * 3);
      const statement = { name: 'test_hmac', text: 'SELECT keyturn_hmac_sha256($1, $2) AS mac' };
      const [row] = await database.query<{ mac: Uint8Array }>(statement, [key, message]);
      t.same(Buffer.from(row?.mac ?? []), createHmac('sha256', key).update(message).digest());
    }
  }),
);
