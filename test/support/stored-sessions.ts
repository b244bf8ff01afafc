/** Users and sessions in a store, for the contracts of what is done with them. */
import { createAuditLog } from '../../src/adapters/postgres/audit.js';
import { createClientStore } from '../../src/adapters/postgres/client-store.js';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createSessionStore } from '../../src/adapters/postgres/session-store.js';
import { createUserStore } from '../../src/adapters/postgres/user-store.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { auditEvent } from '../../src/domain/audit.js';
import { createClients } from '../../src/domain/clients.js';
import { createIds } from '../../src/domain/ids.js';
import { nextSecret, sha256 } from '../../src/domain/refresh-token.js';
import type { Caller, Instant, SessionId, User, UserId } from '../../src/domain/types.js';
import type { RotationAttempt } from '../../src/ports/session-store.js';
import { fakeClock } from './clock.js';
import { execute } from './service.js';
import { makeSession, presented } from './sessions.js';

export const caller: Caller = { ip: '192.0.2.1', place: 'NL', userAgent: 'test', requestId: 'r' };
const clock = fakeClock();
export const now = clock.now();
export const ids = createIds(clock, systemRandom);

export async function storedSessions(database: Database) {
  const users = createUserStore(database);
  const store = createSessionStore(database);
  const clients = createClients(createClientStore(database), createAuditLog(database), clock, systemRandom);
  await clients.seed();

  async function newUser(): Promise<User> {
    const id = ids.uuid() as UserId;
    const user: User = {
      id,
      email: `${id}@example.com`,
      emailVerified: false,
      passwordHash: 'x',
      passwordChangedAt: now,
      roles: [],
      disabledAt: null,
      createdAt: now,
    };
    await users.create(user, user.email, auditEvent('user.created', 'success', now, caller, { actor: 'service' }));
    return user;
  }

  async function newSession(user: User, clientId = 'default') {
    const made = makeSession(now, [], { id: ids.uuid() as SessionId, userId: user.id });
    const { session } = made.found;
    const text = made.tokens[0] ?? '';
    const token = presented(text);
    const audit = auditEvent('login.succeeded', 'success', now, caller, {
      actor: `user:${user.id}`,
      sessionId: session.id,
    });
    const created = await store.create(
      { ...session, clientId, deviceName: 'phone', caller },
      user.passwordChangedAt,
      audit,
    );
    return { ...made, session, text, token, created };
  }

  return { users, store, clients, newUser, newSession };
}

type Made = Awaited<ReturnType<Awaited<ReturnType<typeof storedSessions>>['newSession']>>;

/** What the use case would send for the token, with a salt of its own. */
export function attempt({ session, token }: Made, more: Partial<RotationAttempt> = {}): RotationAttempt {
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

export const demandPasswordIn = (database: Database) => (id: SessionId, at: Instant) =>
  execute(
    database,
    `UPDATE sessions SET step_up_at = '${new Date(at).toISOString()}' WHERE id = '${id}' AND revoked_at IS NULL`,
  );
