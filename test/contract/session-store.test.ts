import t, { type Test } from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { auditEvent } from '../../src/domain/audit.js';
import { later, type SessionId, type UserId } from '../../src/domain/types.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';
import { attempt, caller, demandPasswordIn, ids, now, storedSessions } from '../support/stored-sessions.js';
import { sameAsModel } from './session-store-model.js';

const ended = (userId: UserId, at = now) =>
  auditEvent('session.ended', 'success', at, caller, { actor: `user:${userId}`, userId });

async function contract(t: Test, database: Database): Promise<void> {
  const stored = await storedSessions(database);
  const { users, store, newUser, newSession } = stored;
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

  t.test('the store that the refresh model runs on does the same', (t) =>
    sameAsModel(t, { ...store, demandPassword: demandPasswordIn(database) }, newUser, newSession),
  );

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

t.test('the session store', (t) => onEachDatabase(t, contract));
