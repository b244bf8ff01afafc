/** What of the session store sliding sessions stand on. */
import t from 'tap';
import { auditEvent } from '../../src/domain/audit.js';
import { type Instant, later, type SessionId } from '../../src/domain/types.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowOf } from '../support/service.js';
import { caller, ids, now, storedSessions } from '../support/stored-sessions.js';

const CALLERS = 50;
const MINUTE = 60;

await onEachDatabase(t, async (t, database) => {
  const { store, clients, newUser, newSession } = await storedSessions(database);
  const fields = { name: 'Web', type: 'public', audiences: ['api'], tokenDelivery: 'header' } as const;
  await clients.create({ ...fields, clientId: 'web' });
  const user = await newUser();
  const begin = async (clientId = 'web') => (await newSession(user, clientId)).session.id;
  const slide = (sessionId: SessionId, at: Instant, by = caller) => store.slide({ sessionId, at, caller: by });
  const row = (id: SessionId) => rowOf(database, 'sessions', `id = '${id}'`);

  t.test('a use moves the idle end, and is what a person sees as the last one', async (t) => {
    const id = await begin();
    const at = later(now, 5 * MINUTE);
    const elsewhere = { ...caller, ip: '198.51.100.7', place: 'JP', userAgent: 'another' };
    const slid = await slide(id, at, elsewhere);
    t.match(slid, { lastSeenAt: at, session: { id, idleExpiresAt: later(at, 30 * MINUTE), generation: 0 } });
    t.match(await row(id), { ip: '198.51.100.7', place: 'JP', user_agent: 'another', last_seen_at: new Date(at) });
    const unknown = { ip: null, place: null, userAgent: null, requestId: null };
    await slide(id, later(at, MINUTE), unknown);
    t.match(await row(id), { ip: '198.51.100.7', place: 'JP', user_agent: 'another' }, 'nothing is forgotten');
  });

  t.test('of uses within renew_after one is written down, whoever asks', async (t) => {
    const id = await begin();
    const at = later(now, 2 * MINUTE);
    const version = { name: `test_version_${id}`, text: `SELECT xmin::text FROM sessions WHERE id = '${id}'` };
    const results = await Promise.all(Array.from({ length: CALLERS }, (_, i) => slide(id, (at + i) as Instant)));
    t.equal(new Set(results.map((slid) => slid?.lastSeenAt)).size, 1, 'all are told of the same use');
    const [written] = results;
    const [before] = await database.query<{ xmin: string }>(version, []);
    t.equal((await slide(id, later(at, 59)))?.lastSeenAt, written?.lastSeenAt);
    t.same(await database.query(version, []), [before]);
    t.equal((await slide(id, later(at, 61)))?.lastSeenAt, later(at, 61));
  });

  t.test('nothing reaches beyond the absolute end', async (t) => {
    const id = await begin();
    await execute(
      database,
      `UPDATE sessions SET expires_at = '${new Date(later(now, 10 * MINUTE)).toISOString()}' WHERE id = '${id}'`,
    );
    t.equal((await slide(id, later(now, 5 * MINUTE)))?.session.idleExpiresAt, later(now, 10 * MINUTE));
  });

  t.test(
    'a session that is over, of a disabled user, or whose client wants other roles or tokens in the body does not slide',
    async (t) => {
      const at = later(now, 5 * MINUTE);
      const over = await begin();
      await store.end(
        over,
        user.id,
        'logout',
        auditEvent('session.ended', 'success', now, caller, { actor: 'service' }),
      );
      t.match(await slide(over, at), { lastSeenAt: now, session: { revokedAt: now } });
      const idle = await begin();
      await execute(
        database,
        `UPDATE sessions SET idle_expires_at = '${new Date(at).toISOString()}' WHERE id = '${idle}'`,
      );
      t.match(await slide(idle, at), { lastSeenAt: now, session: { idleExpiresAt: at } });
      t.equal(await slide(await begin('default'), at), null);
      await clients.create({ ...fields, clientId: 'staff', requiredRoles: ['staff'] });
      t.match(await slide(await begin('staff'), at), { lastSeenAt: now, requiredRoles: ['staff'] });
      const other = await newUser();
      const { session } = await newSession(other, 'web');
      await execute(database, `UPDATE users SET disabled_at = now() WHERE id = '${other.id}'`);
      t.match(await slide(session.id, at), { lastSeenAt: now, userDisabled: true });
      t.equal(await slide(ids.uuid() as SessionId, at), null);
    },
  );
});
