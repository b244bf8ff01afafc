import t from 'tap';
import { createAuditTrail } from '../../src/adapters/postgres/audit-trail.js';
import { createDetectionStore } from '../../src/adapters/postgres/detection-store.js';
import { emptyProfile, type Profile } from '../../src/domain/anomalies/profile.js';
import { auditEvent } from '../../src/domain/audit.js';
import { type AuditEvent, later, type SessionId, type UserId } from '../../src/domain/types.js';
import type { ChangedProfile, Flags, Suspect } from '../../src/ports/detection-store.js';
import { settled } from '../support/activities.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';
import { caller, ids, now, storedSessions } from '../support/stored-sessions.js';

const CALLERS = 20;
const empty = emptyProfile(now);
const flags: Flags = { action: 'flag', findings: [{ signal: 'new_continent', why: 'Oceania, before only Europe' }] };

t.test('detection store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const { users, store: sessions, newUser, newSession } = await storedSessions(database);
    const store = createDetectionStore(database);
    const one = async (id: UserId) => (await store.profiles([id])).get(id) ?? null;
    const event = (name: AuditEvent['event'], sessionId: SessionId, userId: UserId, at = now) =>
      auditEvent(name, 'success', at, caller, { actor: 'service', sessionId, userId, clientId: 'default' });

    t.test('a profile is kept as it is, each time as another version', async (t) => {
      const { id } = await newUser();
      t.equal(await one(id), null);
      t.strictSame(await store.keep([{ userId: id, profile: settled, version: null }], now), new Set([id]));
      const first = await one(id);
      t.strictSame(first?.profile, settled);
      const next: ChangedProfile = { userId: id, profile: empty, version: first?.version ?? null };
      t.strictSame(await store.keep([next], now), new Set([id]));
      t.strictSame((await one(id))?.profile, empty);
      t.strictSame(await store.keep([next], now), new Set(), 'what was read is there no more');
      t.strictSame(await store.keep([{ ...next, version: null }], now), new Set(), 'nor is it as if there were none');
    });

    t.test('many are read and kept at once, each by itself', async (t) => {
      const [a, b, c] = [(await newUser()).id, (await newUser()).id, (await newUser()).id];
      await store.keep([{ userId: a, profile: empty, version: null }], now);
      const version = (await one(a))?.version ?? null;
      const profile: Profile = { ...empty, logins: 7 };
      const kept = await store.keep(
        [
          { userId: c, profile, version: null },
          { userId: a, profile, version },
          { userId: b, profile, version: '5' },
          { userId: ids.uuid() as UserId, profile, version: null },
        ],
        now,
      );
      t.strictSame(kept, new Set([a, c]), 'not of one that was read as another, nor of a user who is not there');
      t.strictSame([...(await store.profiles([a, b, c])).keys()].sort(), [a, c].sort());
    });

    t.test(`of ${CALLERS} at once that have read one profile, one keeps the next`, async (t) => {
      const { id } = await newUser();
      for (const known of [false, true]) {
        const version = known ? ((await one(id))?.version ?? null) : null;
        const results = await Promise.all(
          Array.from({ length: CALLERS }, () => store.keep([{ userId: id, profile: empty, version }], now)),
        );
        t.equal(results.filter((kept) => kept.has(id)).length, 1);
      }
    });

    t.test('nodes with the same users in other orders do not hold each other up', async (t) => {
      const owners = await Promise.all(Array.from({ length: 5 }, newUser));
      const all = owners.map(({ id }): ChangedProfile => ({ userId: id, profile: empty, version: null }));
      for (let round = 0; round < 5; round++) {
        const stored = await store.profiles(owners.map(({ id }) => id));
        const changed = all.map((one) => ({ ...one, version: stored.get(one.userId)?.version ?? null }));
        const results = await Promise.all(
          Array.from({ length: 8 }, (_, i) => store.keep(i % 2 === 0 ? changed : [...changed].reverse(), now)),
        );
        const times = owners.map(({ id }) => results.filter((kept) => kept.has(id)).length);
        t.strictSame(times, [1, 1, 1, 1, 1]);
      }
    });

    t.test('a profile goes with its user', async (t) => {
      const { id } = await newUser();
      await store.keep([{ userId: id, profile: empty, version: null }], now);
      await users.delete(id, auditEvent('user.deleted', 'success', now, caller, { actor: 'service' }));
      t.equal(await one(id), null);
      t.strictSame(await rowsOf(database, 'user_profiles', `user_id = '${id}'`), []);
    });

    async function suspicious() {
      const user = await newUser();
      const { session } = await newSession(user);
      const suspect = await store.suspect(session.id, user.id, now);
      if (suspect === null) throw new Error('no session');
      return { user, session, suspect };
    }

    t.test('a live session is told of with the policy of its client and its flags', async (t) => {
      const { user, session, suspect } = await suspicious();
      const expected: Suspect = {
        sessionId: session.id,
        userId: user.id,
        clientId: 'default',
        policy: 'flag',
        flaggedAt: null,
        flags: null,
      };
      t.strictSame(suspect, expected);
      t.ok(await store.flag(suspect, flags, false, event('session.flagged', session.id, user.id)));
      t.strictSame(await store.suspect(session.id, user.id, now), { ...expected, flaggedAt: now, flags });
    });

    t.test('one that is over, another user’s or not there is not', async (t) => {
      const { user, session } = await suspicious();
      t.equal(await store.suspect(session.id, (await newUser()).id, now), null);
      t.equal(await store.suspect(ids.uuid() as SessionId, user.id, now), null);
      t.equal(await store.suspect(session.id, user.id, later(now, 15 * 86_400)), null, 'idle for too long');
      await sessions.end(session.id, user.id, 'anomaly', event('session.revoked_by_detection', session.id, user.id));
      t.equal(await store.suspect(session.id, user.id, now), null);
      t.match(await rowOf(database, 'sessions', `id = '${session.id}'`), { revoke_reason: 'anomaly' });
      t.equal((await rowsOf(database, 'revocations', `value = '${session.id}'`)).length, 1);
    });

    t.test('flagging is seen by the user, leaves its event, and asks for nothing', async (t) => {
      const { user, session, suspect } = await suspicious();
      await store.flag(suspect, flags, false, event('session.flagged', session.id, user.id));
      const [listed] = await sessions.listLive(user.id, now, 10);
      t.strictSame(listed?.flagged, { at: now, reasons: ['Oceania, before only Europe'] });
      t.equal((await sessions.find(session.id))?.session.stepUpAt, null);
      const events = await rowsOf(
        database,
        'audit_events',
        `session_id = '${session.id}' AND event = 'session.flagged'`,
      );
      t.match(events, [{ actor: 'service', user_id: user.id, client_id: 'default' }]);
    });

    t.test('with step_up the next refresh needs the password', async (t) => {
      const { user, session, suspect } = await suspicious();
      const stronger: Flags = { ...flags, action: 'step_up' };
      await store.flag(suspect, stronger, true, event('session.flagged', session.id, user.id, later(now, 1)));
      const stepUpAt = async () => (await sessions.find(session.id))?.session.stepUpAt;
      t.equal(await stepUpAt(), later(now, 1));
      const again = async (seconds: number) => {
        const seen = await store.suspect(session.id, user.id, now);
        const told = event('session.flagged', session.id, user.id, later(now, seconds));
        return seen !== null && (await store.flag(seen, stronger, false, told));
      };
      t.ok(await again(2));
      t.equal(await stepUpAt(), later(now, 1), 'which a milder flag does not take back');
      await execute(database, `UPDATE sessions SET step_up_at = NULL WHERE id = '${session.id}'`);
      t.ok(await again(3));
      t.equal(await stepUpAt(), null, 'nor ask for anew');
    });

    t.test(`of ${CALLERS} who flag what they have seen, one does, and leaves one event`, async (t) => {
      const { user, session, suspect } = await suspicious();
      const results = await Promise.all(
        Array.from({ length: CALLERS }, (_, i) =>
          store.flag(suspect, flags, false, event('session.flagged', session.id, user.id, later(now, i + 1))),
        ),
      );
      t.equal(results.filter(Boolean).length, 1);
      const events = await rowsOf(
        database,
        'audit_events',
        `session_id = '${session.id}' AND event = 'session.flagged'`,
      );
      t.equal(events.length, 1);
    });

    t.test('a session that has ended meanwhile is not flagged', async (t) => {
      const { user, session, suspect } = await suspicious();
      await sessions.end(session.id, user.id, 'logout', event('session.ended', session.id, user.id));
      t.equal(await store.flag(suspect, flags, false, event('session.flagged', session.id, user.id)), false);
    });

    t.test('its events are found among many others by their own index', async (t) => {
      const { user, session, suspect } = await suspicious();
      await store.flag(suspect, flags, false, event('session.flagged', session.id, user.id));
      const trail = createAuditTrail(database);
      const mine = await trail.search({ isAnomaly: true, userId: user.id }, 'newest_first', null, 10);
      t.match(mine.items, [{ event: 'session.flagged' }]);
      t.equal(mine.items.length, 1);
      const first = await trail.search({ isAnomaly: true }, 'newest_first', null, 1);
      t.not(first.next, null);
      const second = await trail.search({ isAnomaly: true }, 'newest_first', first.next, 1);
      t.not(second.items[0]?.id, first.items[0]?.id);

      await execute(
        database,
        `INSERT INTO audit_events (at, event, outcome, actor)
          SELECT now(), 'login.failed', 'failure', 'anonymous' FROM generate_series(1, 5000)`,
      );
      await execute(database, 'ANALYZE audit_events');
      const asked = { name: '', text: '' };
      await createAuditTrail({
        ...database,
        query(statement, values) {
          Object.assign(asked, statement);
          return database.query(statement, values);
        },
      }).search({ isAnomaly: true }, 'newest_first', null, 10);
      const plan = await database.query<Record<string, string>>(
        { name: '', text: `EXPLAIN ${asked.text.replace('$1', 'true').replace('$2', '11')}` },
        [],
      );
      t.match(JSON.stringify(plan), /audit_events_anomalies_idx/);
    });
  }),
);
