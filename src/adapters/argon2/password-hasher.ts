/**
 * argon2id (RFC 9106; cost by OWASP's password storage cheat sheet). argon2 and RSA signing share libuv's threads, so the
 * number of hashes at one time is bounded below theirs: a storm of logins must not starve refreshes. Whoever would wait
 * too long is told so at once, instead of waiting in a queue that only grows.
 */
import { argon2id, hash, needsRehash, verify } from 'argon2';
import pLimit from 'p-limit';
import { Refusal } from '../../domain/errors.js';
import { madeWhenUsed } from '../../domain/made-when-used.js';
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
  /** Milliseconds for which a caller may wait; nobody's client waits longer. */
  longestWait: number;
}

const RETRY_AFTER_S = 2;
/** The weight of the last hash in the time that the next one is expected to take. */
const LAST_WEIGHT = 0.2;

/** Never the password of anybody: it is only hashed to have something of the configured cost to compare with. */
const NOBODYS_PASSWORD = 'nobody has this password';

/** `refused` is called for each caller who is sent away. */
export function createPasswordHasher(settings: HasherSettings, refused: () => void = () => {}): PasswordHasher {
  const { memoryKib: memoryCost, timeCost, parallelism, concurrency, queue, longestWait } = settings;
  const cost = { memoryCost, timeCost, parallelism };
  const limit = pLimit(concurrency);

  /** Milliseconds that a hash takes; 0 until there was one. */
  let usual = 0;
  const overloaded = () => {
    refused();
    return new Refusal('overloaded', { retryAfter: RETRY_AFTER_S });
  };

  /** Callers that somebody who comes now finds before him, beyond those whose hash is computed at once. */
  const ahead = () => limit.activeCount + limit.pendingCount - concurrency;
  const expectedWait = () => (Math.max(0, ahead() + 1) / concurrency) * usual;

  async function measured<T>(work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    const result = await work();
    const took = performance.now() - began;
    usual = usual === 0 ? took : usual + LAST_WEIGHT * (took - usual);
    return result;
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (ahead() >= queue || expectedWait() > longestWait) return Promise.reject(overloaded());
    const came = performance.now();
    return limit(() => {
      // Hashes have become slower meanwhile, and he has gone: what he asked for is not begun.
      if (performance.now() - came > 2 * longestWait) throw overloaded();
      return measured(work);
    });
  }

  const makeHash = (password: string) => hash(password, { ...cost, type: argon2id });
  // Made at once, so that no request waits for it, and so that the first unknown e-mail costs what the others do.
  const nobody = madeWhenUsed(() => makeHash(NOBODYS_PASSWORD));
  nobody.get().catch(() => {});

  return {
    hash: (password) => inTurn(() => makeHash(password)),
    verify: (password, digest) =>
      inTurn(async () => ({ ok: await verify(digest, password), rehash: needsRehash(digest, cost) })),
    verifyNothing: (password) =>
      inTurn(async () => {
        await verify(await nobody.get(), password);
      }),
    expectedWait,
    longestWait,
  };
}
