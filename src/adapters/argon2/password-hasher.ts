/**
 * argon2id (RFC 9106; cost by OWASP's password storage cheat sheet). argon2 and RSA signing share libuv's threads, so the
 * number of hashes at one time is bounded below theirs: a storm of logins must not starve refreshes. Whoever would wait
 * too long is told so at once, instead of waiting in a queue that only grows.
 */
import { argon2id, hash, needsRehash, verify } from 'argon2';
import pLimit from 'p-limit';
import { Refusal } from '../../domain/errors.js';
import type { PasswordHasher } from '../../ports/password-hasher.js';

export interface HasherSettings {
  /** KiB. */
  memoryKib: number;
  timeCost: number;
  parallelism: number;
  /** Hashes computed at one time. */
  concurrency: number;
  /** Callers that may wait for their turn. */
  queue: number;
}

const RETRY_AFTER_S = 2;

/** Never the password of anybody: it is only hashed to have something of the configured cost to compare with. */
const NOBODYS_PASSWORD = 'nobody has this password';

export function createPasswordHasher(settings: HasherSettings): PasswordHasher {
  const { memoryKib: memoryCost, timeCost, parallelism, concurrency, queue } = settings;
  const cost = { memoryCost, timeCost, parallelism };
  const limit = pLimit(concurrency);

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (limit.activeCount + limit.pendingCount >= concurrency + queue) {
      return Promise.reject(new Refusal('overloaded', { retryAfter: RETRY_AFTER_S }));
    }
    return limit(work);
  }

  const makeHash = (password: string) => hash(password, { ...cost, type: argon2id });
  // Made at once, so that no request waits for it, and so that the first unknown e-mail costs what the others do.
  const nobody = makeHash(NOBODYS_PASSWORD);
  nobody.catch(() => {});

  return {
    hash: (password) => inTurn(() => makeHash(password)),
    verify: (password, digest) =>
      inTurn(async () => ({ ok: await verify(digest, password), rehash: needsRehash(digest, cost) })),
    verifyNothing: (password) =>
      inTurn(async () => {
        await verify(await nobody, password);
      }),
  };
}
