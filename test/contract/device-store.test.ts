import t from 'tap';
import { createDeviceStore } from '../../src/adapters/postgres/device-store.js';
import { createSessionStore } from '../../src/adapters/postgres/session-store.js';
import { createUserStore } from '../../src/adapters/postgres/user-store.js';
import { auditEvent } from '../../src/domain/audit.js';
import type { DeviceId } from '../../src/domain/devices.js';
import { sha256 } from '../../src/domain/refresh-token.js';
import { type AuditEvent, later, type SessionId, type UserId } from '../../src/domain/types.js';
import { onEachDatabase } from '../support/databases.js';
import { caller, ids, now, storedSessions } from '../support/stored-sessions.js';

const YEAR_S = 365 * 86_400;

t.test('device store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const { newUser, newSession } = await storedSessions(database);
    const store = createDeviceStore(database);
    const sessions = createSessionStore(database);
    const users = createUserStore(database);
    const event = (name: AuditEvent['event']) => auditEvent(name, 'success', now, caller, { actor: 'service' });

    async function somebody() {
      const user = await newUser();
      const login = async () => (await newSession(user)).session.id;
      const deviceOf = (sessionId: SessionId, userId: UserId = user.id) => ({
        id: ids.uuid() as DeviceId,
        userId,
        secretHash: sha256('secret'),
        sessionId,
        expiresAt: later(now, YEAR_S),
      });
      const remembered = async (sessionId?: SessionId) => {
        const device = deviceOf(sessionId ?? (await login()));
        await store.remember(device, now);
        return device;
      };
      return { user, login, deviceOf, remembered };
    }
    const isKnown = async ({ id }: { id: DeviceId }) => (await store.find(id)) !== null;

    t.test('what was stored is found, with the e-mail of its user', async (t) => {
      const { user, remembered } = await somebody();
      const device = await remembered();
      const found = await store.find(device.id);
      t.same(Buffer.from(found?.secretHash ?? []), Buffer.from(device.secretHash));
      t.match(found, { ...device, secretHash: Object, emailKey: user.email });
      t.equal(await store.find(ids.uuid() as DeviceId), null);
    });

    t.test('a later login on it moves its end, and nothing else', async (t) => {
      const { login, remembered } = await somebody();
      const device = await remembered();
      const again = { ...device, sessionId: await login(), expiresAt: later(now, YEAR_S + 5) };
      await store.remember({ ...again, secretHash: sha256('another') }, now);
      const { sessionId, expiresAt, secretHash } = again;
      const found = await store.find(device.id);
      t.match(found, { sessionId, expiresAt });
      t.same(Buffer.from(found?.secretHash ?? []), Buffer.from(secretHash));
    });

    t.test('a session that has ended meanwhile, or is somebody else’s, leaves no device behind', async (t) => {
      const { user, login, deviceOf } = await somebody();
      const other = await somebody();
      const ended = await login();
      await sessions.end(ended, user.id, 'ended_by_user', event('session.ended'));
      for (const device of [
        deviceOf(ended),
        deviceOf(ids.uuid() as SessionId),
        deviceOf(await login(), other.user.id),
      ]) {
        await store.remember(device, now);
        t.notOk(await isKnown(device));
      }
    });

    t.test('it is forgotten with its session, unless somebody logs out', async (t) => {
      const { user, remembered } = await somebody();
      const reasons = {
        logout: true,
        ended_by_user: false,
        ended_by_admin: false,
        refresh_token_reused: false,
      } as const;
      for (const [reason, stays] of Object.entries(reasons)) {
        const device = await remembered();
        const bystander = await remembered();
        await sessions.end(device.sessionId, user.id, reason as keyof typeof reasons, event('session.ended'));
        t.equal(await isKnown(device), stays, reason);
        t.ok(await isKnown(bystander));
      }
    });

    t.test('with all sessions of its user all are forgotten, but that of the session that goes on', async (t) => {
      const { user, login, remembered } = await somebody();
      const [mine, his] = [await remembered(), await remembered()];
      const stranger = await (await somebody()).remembered();
      await sessions.end(his.sessionId, user.id, 'logout', event('session.ended'));
      await sessions.endAll(user.id, mine.sessionId, 'ended_by_user', event('sessions.ended'));
      t.strictSame([await isKnown(mine), await isKnown(his)], [true, false], 'one that was logged out, too');
      await sessions.revokeUser(user.id, event('revocation.created'));
      t.notOk(await isKnown(mine));

      const changing = await remembered(await login());
      const before = await remembered();
      await users.setPassword(user.id, 'y', event('password.set'));
      t.strictSame([await isKnown(changing), await isKnown(before)], [false, false]);
      const last = await remembered();
      await users.delete(user.id, event('user.deleted'));
      t.notOk(await isKnown(last));
      t.ok(await isKnown(stranger));
    });

    t.test('whoever logs in while all sessions end is either known to both or to neither', async (t) => {
      const { user, login, deviceOf } = await somebody();
      for (let i = 0; i < 20; i++) {
        const device = deviceOf(await login());
        await Promise.all([
          store.remember(device, now),
          sessions.endAll(user.id, null, 'ended_by_user', event('sessions.ended')),
        ]);
        t.notOk(await isKnown(device));
      }
    });

    t.test('those that have expired go, and of the others the 50 that were used last stay', async (t) => {
      const { login, deviceOf } = await somebody();
      const session = await login();
      const device = (expiresIn: number) => ({ ...deviceOf(session), expiresAt: later(now, expiresIn) });
      const expired = device(10);
      await store.remember(expired, now);
      const all = Array.from({ length: 52 }, (_, i) => device(100 + i));
      for (const one of all) await store.remember(one, later(now, 10));
      t.notOk(await isKnown(expired));
      const known = await Promise.all(all.map(isKnown));
      t.strictSame(known, [false, false, ...Array(50).fill(true)]);
    });
  }),
);
