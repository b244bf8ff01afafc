/** A service whose feed of revocations is read, by clients that may. */
import type { Test } from 'tap';
import { createRevocationStore } from '../../src/adapters/postgres/revocation-store.js';
import type { RevocationKind } from '../../src/domain/revocation.js';
import { breakableProjection } from './breakable-projection.js';
import { fakeClock } from './clock.js';
import { fastDatabase } from './databases.js';
import { oauthOf } from './oauth.js';
import { startService, testKeks } from './service.js';

export const NOBODY = { ip: null, place: null, userAgent: null, requestId: null };
export const READING = { scopes: ['revocations:read', 'read'] };

export async function startFeedService(t: Test, env: Record<string, string> = {}) {
  const database = await fastDatabase(t);
  const keks = testKeks();
  /** Ids tell the time of the database. */
  const clock = fakeClock(Math.floor(Date.now() / 1000) * 1000 + 250);
  const redis = breakableProjection();
  const service = await startService(t, { database, keks, clock, projection: redis.projection, env });
  const { revocations } = service.services;
  const { confidential, tokenOf } = oauthOf(service);
  const reader = await confidential('reader', READING);
  const event = { actor: 'service', outcome: 'success', event: 'revocation.created', at: clock.now() } as const;
  const store = createRevocationStore(database);
  let numbered = 0;

  /** Committed, and not published. */
  async function commit(kind: RevocationKind = 'jti', value = `token-${++numbered}`) {
    await revocations.follow();
    await store.append({ kind, value }, { ...event, ...NOBODY, at: clock.now() });
    return value;
  }

  async function revoke() {
    const value = await commit();
    await revocations.enforce();
    return value;
  }

  return { service, database, keks, clock, redis, reader, confidential, tokenOf, commit, revoke };
}
