/**
 * The issuer's public keys, as fresh as it says. They are fetched again in the background before they grow old, by one
 * fetch at a time; neither an issuer that is down nor tokens with invented key ids make it ask more often.
 */
import { VerifyError } from './errors.js';
import { get, HttpFailure, readJson } from './http.js';
import { type Key, readKeys } from './jwks.js';
import { backOff, type World } from './time.js';
import type { Algorithm } from './token.js';

// Milliseconds.
const FETCH_TIMEOUT_MS = 5_000;
/** Without a Cache-Control that says how long. */
const DEFAULT_MAX_AGE_MS = 300_000;
/** An issuer that says less would be asked at every token, and one that says more would keep a withdrawn key alive. */
const [LEAST_MAX_AGE_MS, MOST_MAX_AGE_MS] = [5_000, 3_600_000];
/** For how long a set is used after it has grown old, when no other can be had. */
const STALE_MS = 3_600_000;
/** Unknown key ids cost one fetch in this time. */
const UNKNOWN_KEY_PAUSE_MS = 30_000;
const [FIRST_BACK_OFF_MS, MOST_BACK_OFF_MS] = [1_000, 30_000];

/** Of its age, after which a set is fetched again while it is still used. */
const REFRESH_AT = 0.8;
/** A set of a dozen RSA keys has 6,000. */
const MAX_JWKS_BYTES = 262_144;

export interface KeyCache {
  /** The key as it is known now; undefined unless it may be used without waiting. */
  known(kid: string): Key | undefined;
  /** Rejects with VerifyError `unknown_key` or `keys_unavailable`. */
  find(kid: string): Promise<Key>;
  /** Rejects with VerifyError `keys_unavailable` when there is no usable set and none can be had. */
  load(): Promise<void>;
  /** Ends a fetch that is under way; nothing is fetched any more. */
  close(): void;
}

export interface KeyCacheOptions {
  jwksUri: string;
  algorithms: readonly Algorithm[];
}

export function createKeyCache({ jwksUri, algorithms }: KeyCacheOptions, world: World): KeyCache {
  let keys: ReadonlyMap<string, Key> = new Map();
  // By the monotonic clock: when the set was asked for, for how long it is fresh, and when it may be asked for again.
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let maxAge = 0;
  let notBefore = Number.NEGATIVE_INFINITY;
  let askedForUnknownAt = Number.NEGATIVE_INFINITY;
  /** In a row. */
  let failures = 0;
  let failure: unknown;
  let underWay: Promise<void> | null = null;
  const closing = new AbortController();

  const age = () => world.monotonic() - fetchedAt;
  const isUsable = () => age() < maxAge + STALE_MS;
  /** While the issuer is down, a set that has grown old serves without anybody waiting for the next failure. */
  const serves = () => age() < maxAge || (failures > 0 && isUsable());
  const mayFetch = () => !closing.signal.aborted && world.monotonic() >= notBefore;

  /** Joins the fetch that is under way. Never rejects. */
  function refresh(): Promise<void> {
    underWay ??= fetchKeys().finally(() => {
      underWay = null;
    });
    return underWay;
  }

  async function fetchKeys(): Promise<void> {
    const askedAt = world.monotonic();
    const timeout = new AbortController();
    const callOff = world.after(FETCH_TIMEOUT_MS, () => timeout.abort());
    const signal = AbortSignal.any([timeout.signal, closing.signal]);
    try {
      const what = 'the JWKS';
      const accept = 'application/jwk-set+json, application/json';
      const response = await get(world, { url: jwksUri, what, accept, signal });
      const { keys: list } = await readJson(response, MAX_JWKS_BYTES, what);
      if (!Array.isArray(list)) throw new HttpFailure('the JWKS has no keys');
      keys = await readKeys(list, algorithms, keys, world.nodeCrypto);
      fetchedAt = askedAt;
      maxAge = maxAgeOf(response.headers);
      failures = 0;
    } catch (error) {
      failures++;
      failure = error;
      const asked = error instanceof HttpFailure ? error.retryAfter * 1000 : 0;
      const pause = backOff(failures, FIRST_BACK_OFF_MS, MOST_BACK_OFF_MS, world.random());
      notBefore = world.monotonic() + Math.max(asked, pause);
    } finally {
      callOff();
    }
  }

  function refreshInPassing(): void {
    if (age() >= maxAge * REFRESH_AT && mayFetch()) void refresh();
  }

  function unavailable(): VerifyError {
    const retryAfter = Math.max(1, Math.ceil((notBefore - world.monotonic()) / 1000));
    return new VerifyError('keys_unavailable', { retryAfter, cause: failure });
  }

  async function load(): Promise<void> {
    if (serves()) refreshInPassing();
    else if (underWay || mayFetch()) await refresh();
    if (!isUsable()) throw unavailable();
  }

  return {
    load,
    known(kid) {
      if (!serves()) return undefined;
      refreshInPassing();
      return keys.get(kid);
    },
    async find(kid) {
      await load();
      if (!keys.has(kid) && underWay) await underWay;
      if (!keys.has(kid) && mayFetch() && world.monotonic() - askedForUnknownAt >= UNKNOWN_KEY_PAUSE_MS) {
        askedForUnknownAt = world.monotonic();
        await refresh();
      }
      const key = keys.get(kid);
      if (key !== undefined) return key;
      // The key may be a new one: nothing is held against the token while its issuer cannot be asked.
      throw failures > 0 ? unavailable() : new VerifyError('unknown_key');
    },
    close: () => closing.abort(),
  };
}

/** How long an answer is fresh (RFC 9111 §4.2), in milliseconds, within bounds. */
function maxAgeOf(headers: Headers): number {
  const cacheControl = headers.get('cache-control') ?? '';
  if (/\bno-(store|cache)\b/i.test(cacheControl)) return LEAST_MAX_AGE_MS;
  const said = /\bmax-age="?(\d{1,9})\b/i.exec(cacheControl)?.[1];
  if (said === undefined) return DEFAULT_MAX_AGE_MS;
  // A cache on the way may have had it for a while.
  const had = /^\d{1,9}$/.exec(headers.get('age') ?? '')?.[0] ?? 0;
  return Math.min(Math.max((Number(said) - Number(had)) * 1000, LEAST_MAX_AGE_MS), MOST_MAX_AGE_MS);
}
