/**
 * A node in a process of its own: composed and kept as the service keeps it, its HTTP on a free port. Beside that it tells
 * its parent what it knows of a token's revocation alone: a route also reads the session's row, which would hide a hole.
 */

import { createInProcessRequestLimiter } from '../../../src/adapters/in-process/request-limiter.js';
import { nodeTokenSigner } from '../../../src/adapters/node-crypto/token-signer.js';
import { connectPostgres } from '../../../src/adapters/postgres/database.js';
import { createDatabaseHealth } from '../../../src/adapters/postgres/health.js';
import { installationOf } from '../../../src/adapters/postgres/installation.js';
import { createRedisAnnouncements } from '../../../src/adapters/redis/announcements.js';
import { connectRedis } from '../../../src/adapters/redis/connection.js';
import { createRedisProjection } from '../../../src/adapters/redis/revocation-projection.js';
import { systemClock } from '../../../src/adapters/system/clock.js';
import { systemRandom } from '../../../src/adapters/system/random.js';
import { compose, httpSettings } from '../../../src/compose.js';
import { readConfig } from '../../../src/config.js';
import { Refusal } from '../../../src/domain/errors.js';
import type { UserId } from '../../../src/domain/types.js';
import { openKeks } from '../../../src/foundation.js';
import { buildApp } from '../../../src/http/app.js';
import { startRevocations } from '../../../src/jobs/revocations.js';
import { createLogger } from '../../../src/logger.js';
import { noLimit } from '../../../src/ports/attempt-limiter.js';
import { noneBreached } from '../../../src/ports/breached-passwords.js';
import { countNothing } from '../../../src/ports/metrics.js';
import { nowhere } from '../../../src/ports/places.js';
import { breakable, type Mutation } from './broken.js';

/** What a parent asks; the answer is a word, or the code of a refusal. */
export type Question =
  | { what: 'check'; token: string }
  | { what: 'disable' | 'enable' | 'delete'; userId: string }
  | { what: 'enforce' | 'is current' }
  | { what: 'break'; mutation: Mutation | null };

const operator = {
  actor: 'cli:proof',
  userId: null,
  caller: { ip: null, place: null, userAgent: null, requestId: null },
};

const config = readConfig();
const log = createLogger('warn');
let mutation: Mutation | null = null;
const redis = connectRedis(config.REDIS_URL ?? '', () => {});
const database = connectPostgres({ url: config.DATABASE_URL ?? '', max: config.DATABASE_POOL, onIdleError() {} });
const services = compose(config, {
  database,
  health: createDatabaseHealth(database),
  announcements: createRedisAnnouncements(redis),
  projection: breakable(
    createRedisProjection(redis, installationOf(database), systemClock, systemRandom),
    () => mutation,
  ),
  limiterOf: () => noLimit,
  requestLimiterOf: (_kind, limit) => createInProcessRequestLimiter(limit, systemClock),
  keks: openKeks(config, log),
  signer: nodeTokenSigner,
  places: nowhere,
  breachedPasswords: noneBreached,
  metrics: countNothing,
  clock: systemClock,
  eventLoop: { delay: () => 0 },
  random: systemRandom,
});
await services.clients.seed();
await services.keys.load();
const { revocations, administration } = services;
await revocations.follow();
startRevocations(services, log);
const app = await buildApp(services, httpSettings(config, log));
const address = await app.listen({ host: '127.0.0.1', port: 0 });

/** Nobody but these services made the tokens: their signatures need no check here. */
function revocableOf(token: string) {
  const { jti, sid, sub, client_id, iat } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  return { jti, sid, sub, clientId: client_id, iat };
}

async function answer(question: Question): Promise<string> {
  switch (question.what) {
    case 'check':
      return revocations.check(revocableOf(question.token), {});
    case 'enforce':
      await revocations.enforce();
      return 'done';
    case 'is current':
      return String(revocations.isCurrent());
    case 'break':
      mutation = question.mutation;
      return 'done';
    default:
      await administration.users[question.what](question.userId as UserId, operator);
      return 'done';
  }
}

process.on('message', ({ id, question }: { id: number; question: Question }) => {
  answer(question).then(
    (word) => process.send?.({ id, word }),
    (error) => process.send?.({ id, word: error instanceof Refusal ? error.code : `fault: ${error}` }),
  );
});
// Without its parent it has no reason to go on.
process.on('disconnect', () => process.exit(0));
process.send?.({ address });
