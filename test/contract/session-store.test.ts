import { createHmac } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { auditEvent } from '../../src/domain/audit.js';
import { nextSecret, sha256 } from '../../src/domain/refresh-token.js';
import { type Instant, later, type SessionId, type UserId } from '../../src/domain/types.js';
import type { RotationAttempt } from '../../src/ports/session-store.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';
import { presented, tampered } from '../support/sessions.js';
import { caller, ids, now, storedSessions } from '../support/stored-sessions.js';
import { sameAsModel } from './session-store-model.js';

const CALLERS = 50;

type Made = Awaited<ReturnType<Awaited<ReturnType<typeof storedSessions>>['newSession']>>;

/** What the use case would send for the token, with a salt of its own. */
function attempt({ session, token }: Made, more: Partial<RotationAttempt> = {}): RotationAttempt {
  const salt = systemRandom.bytes(32);
  return {
    sessionId: session.id,
    generation: token.generation,
    secretHash: sha256(token.secret),
    signed: token.signed,
    tagHash: sha256(token.tag),
    nextHash: sha256(nextSecret(token.secret, salt, session.id, token.generation + 1)),
    salt,
    key: null,
    clientId: null,
    at: now,
    caller,
    proved: null,
    audits: [],
    ...more,
  };
}

const ended = (userId: UserId, at = now) =>
  auditEvent('session.ended', 'success', at, caller, { actor: `user:${userId}`, userId });

async function contract(t: Test, database: Database): Promise<void> {
  const { users, store, newUser, newSession } = await storedSessions(database);
  const user = await newUser();

  t.test('a session is found as it was created, with its owner', async (t) => {
    const { session, created } = await newSession(user);
    t.ok(created);
    const found = await store.find(session.id);
    t.same(found, { session, roles: [], userDisabled: false, requiredRoles: [], accessTokenTtl: 900 });
    t.match(await rowOf(database, 'audit_events', `session_id = '${session.id}'`), { event: 'login.succeeded' });
    t.equal(await store.find(ids.uuid() as SessionId), null);
  });

  t.test('no session begins for a user who was disabled or changed the password meanwhile', async (t) => {
    const other = await newUser();
    t.notOk((await newSession({ ...other, passwordChangedAt: later(now, -1) })).created);
    await execute(database, `UPDATE users SET disabled_at = now() WHERE id = '${other.id}'`);
    const { created, session } = await newSession(other);
    t.notOk(created);
    t.same(await rowsOf(database, 'audit_events', `session_id = '${session.id}'`), [], 'and none is told of');
  });

  t.test('no session begins for a user or a client that was deleted meanwhile', async (t) => {
    const user = await newUser();
    t.equal((await newSession(user, 'deleted')).created, false);
    await users.delete(user.id, auditEvent('user.deleted', 'success', now, caller, { actor: 'service' }));
    t.equal((await newSession(user)).created, false);
  });

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

  const demandPassword = (id: SessionId, at: Instant) =>
    execute(
      database,
      `UPDATE sessions SET step_up_at = '${new Date(at).toISOString()}' WHERE id = '${id}' AND revoked_at IS NULL`,
    );

  t.test('the store that the refresh model runs on does the same', (t) =>
    sameAsModel(t, { ...store, demandPassword }, newUser, newSession),
  );

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

  t.test('a session is ended once, by its owner alone, and told of once', async (t) => {
    const { session } = await newSession(user);
    const stranger = await newUser();
    t.notOk(await store.end(session.id, stranger.id, 'ended_by_user', ended(stranger.id)));
    const results = await Promise.all(
      Array.from({ length: 10 }, () =>
        store.end(session.id, user.id, 'logout', { ...ended(user.id), sessionId: session.id }),
      ),
    );
    t.equal(results.filter(Boolean).length, 1);
    t.match((await store.find(session.id))?.session, { revokedAt: now, revokeReason: 'logout' });
    t.equal(
      (await rowsOf(database, 'audit_events', `session_id = '${session.id}' AND event = 'session.ended'`)).length,
      1,
    );
  });

  t.test('of a rotation and an end at one moment, the end has the last word', async (t) => {
    for (let n = 0; n < 10; n++) {
      const made = await newSession(user);
      await Promise.all([store.rotate(attempt(made)), store.end(made.session.id, user.id, 'logout', ended(user.id))]);
      t.not((await store.find(made.session.id))?.session.revokedAt, null);
    }
  });

  t.test('the list has live sessions of the user alone, the last seen first, up to the limit', async (t) => {
    const owner = await newUser();
    await newSession(await newUser());
    const [a, b, c] = [await newSession(owner), await newSession(owner), await newSession(owner)];
    await store.rotate(attempt(a, { at: later(now, 5) }));
    await store.end(c.session.id, owner.id, 'logout', ended(owner.id));
    const list = await store.listLive(owner.id, now, 10);
    t.same(
      list.map(({ id }) => id),
      [a.session.id, b.session.id],
    );
    t.match(list[0], {
      clientId: 'default',
      deviceName: 'phone',
      ip: '192.0.2.1',
      place: 'NL',
      userAgent: 'test',
      lastSeenAt: later(now, 5),
    });
    t.equal((await store.listLive(owner.id, now, 1)).length, 1);
    t.same(await store.listLive(owner.id, a.session.expiresAt, 10), []);
  });

  t.test('all sessions of a user end but the one that is kept', async (t) => {
    const owner = await newUser();
    const [keep, other, third] = [await newSession(owner), await newSession(owner), await newSession(owner)];
    const event = auditEvent('sessions.ended', 'success', now, caller, { actor: 'service', userId: owner.id });
    t.equal(await store.endAll(owner.id, keep.session.id, 'ended_by_user', event), 2);
    t.equal((await store.find(keep.session.id))?.session.revokedAt, null);
    for (const { session } of [other, third]) t.equal((await store.find(session.id))?.session.revokedAt, now);
    t.match(await rowOf(database, 'audit_events', `user_id = '${owner.id}' AND event = 'sessions.ended'`), {
      details: { ended: 2 },
    });
    t.equal(await store.endAll(owner.id, null, 'ended_by_user', event), 1);
  });

  t.test('with all sessions of a user whatever else he was given is revoked, whether or not he is there', async (t) => {
    const owner = await newUser();
    const [one, two] = [await newSession(owner), await newSession(owner)];
    const nobody = ids.uuid() as UserId;
    for (const [id, ended] of [
      [owner.id, 2],
      [owner.id, 0],
      [nobody, 0],
    ] as const) {
      const event = auditEvent('revocation.created', 'success', now, caller, { actor: 'cli:ops', userId: id });
      await store.revokeUser(id, { ...event, details: { kind: 'sub', value: id } });
      const events = await rowsOf(database, 'audit_events', `user_id = '${id}' ORDER BY id DESC`);
      t.match(events[0], { event: 'revocation.created', details: { kind: 'sub', value: id, ended } });
    }
    for (const { session } of [one, two])
      t.match((await store.find(session.id))?.session, { revokedAt: now, revokeReason: 'ended_by_admin' });
    const rules = await rowsOf(database, 'revocations', `value IN ('${owner.id}', '${nobody}') ORDER BY id`);
    const notBefore = new Date(Math.floor(now / 1000) * 1000 + 1000);
    t.match(rules, Array(3).fill({ kind: 'sub', not_before: notBefore, revoked_at: new Date(now) }));
  });

  t.test('no session outlives a password change that it raced with', async (t) => {
    for (let n = 0; n < 10; n++) {
      const owner = await newUser();
      const kept = await newSession(owner);
      const change = {
        userId: owner.id,
        passwordHash: 'y',
        unlessChangedSince: owner.passwordChangedAt,
        keep: kept.session.id,
        audit: auditEvent('password.changed', 'success', later(now, 1), caller, {
          actor: `user:${owner.id}`,
          userId: owner.id,
        }),
      };
      const logins = Array.from({ length: 5 }, () => newSession(owner));
      const [changed] = await Promise.all([users.changePassword(change), ...logins]);
      t.ok(changed);
      const live = await store.listLive(owner.id, later(now, 1), 100);
      t.same(
        live.map(({ id }) => id),
        [kept.session.id],
      );
    }
  });
}

const tagOf = (familyKey: Uint8Array, signed: Uint8Array) =>
  new Uint8Array(createHmac('sha256', familyKey).update(signed).digest().subarray(0, 16));

t.test('the session store', (t) => onEachDatabase(t, contract));

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
