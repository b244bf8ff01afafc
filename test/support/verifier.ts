/** A verifier in a world of its own: an issuer without a service, clocks and timers that are moved by hand. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Test } from 'tap';
import type { VerifierOptions } from '../../src/verifier/options.js';
import { nodeCrypto } from '../../src/verifier/signature.js';
import type { World } from '../../src/verifier/time.js';
import { createVerifierIn, type Verifier } from '../../src/verifier/verifier.js';
import { type Forge, forgeOf } from './forge.js';

export const AUTH = 'https://auth.example.com';
export const AUDIENCE = 'api';

export interface FakeWorld extends World {
  /** Moves both clocks, and calls what is due on the way. */
  advance(seconds: number): void;
  /** How many timers are set. */
  timers(): number;
}

/** Starts on 1 March 2026, 12:00:00 UTC; chance is always in the middle. */
export function fakeWorld(fetch: typeof globalThis.fetch, start = Date.UTC(2026, 2, 1, 12)): FakeWorld {
  let elapsed = 0;
  const timers = new Set<{ at: number; work: () => void }>();
  return {
    fetch,
    now: () => start + elapsed,
    monotonic: () => elapsed,
    random: () => 0.5,
    nodeCrypto: nodeCrypto(),
    after(ms, work) {
      const timer = { at: elapsed + ms, work };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(seconds) {
      const until = elapsed + seconds * 1000;
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers.delete(next);
        elapsed = Math.max(elapsed, next.at);
        next.work();
      }
      elapsed = until;
    },
    timers: () => timers.size,
  };
}

export type Json = Record<string, unknown>;

export interface SigningPair {
  kid: string;
  privateKey: KeyObject;
  publicJwk: Json;
}

const made = new Map<string, SigningPair>();

/** The same for the same name: making one takes as long as hundreds of tests. */
export function rsaKey(kid: string, bits = 2048): SigningPair {
  const name = `${kid} ${bits}`;
  const pair = made.get(name) ?? newRsaKey(kid, bits);
  made.set(name, pair);
  return pair;
}

function newRsaKey(kid: string, bits: number): SigningPair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  return { kid, privateKey, publicJwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' } };
}

/** What the issuer answers when it is asked for its keys. */
export interface Jwks {
  keys: unknown[];
  headers: Record<string, string>;
  /** In place of that. */
  answer: (() => Response | Promise<Response>) | null;
  /** Every address that was asked. */
  asked: string[];
}

export interface Bench {
  world: FakeWorld;
  jwks: Jwks;
  key: SigningPair;
  forge: Forge;
  verifier: Verifier;
  /** Another one in the same world. */
  another(options?: Partial<VerifierOptions>): Verifier;
  /** The code of the refusal, or `accepted`. */
  outcome(token: string): Promise<string>;
}

/** Seconds since the epoch at which the world begins. */
export const NOW = Date.UTC(2026, 2, 1, 12) / 1000;

export const claimsAt = (now: number, changes: Json = {}): Json => ({
  iss: AUTH,
  sub: 'ada',
  aud: AUDIENCE,
  iat: now,
  nbf: now,
  exp: now + 900,
  jti: 'token-1',
  sid: 'session-1',
  client_id: 'app',
  scope: 'orders:read orders:write',
  roles: ['user'],
  ...changes,
});

export function forgeWith(key: SigningPair, changes: Json = {}): Forge {
  return forgeOf({ ...key, header: { alg: 'RS256', kid: key.kid, typ: 'at+jwt' }, claims: claimsAt(NOW, changes) });
}

/** `crypto` is null for a place where there is no Node. */
export function bench(t: Test, options: Partial<VerifierOptions> = {}, crypto = nodeCrypto()): Bench {
  const key = rsaKey('Key-1');
  const jwks: Jwks = {
    keys: [key.publicJwk],
    headers: { 'cache-control': 'public, max-age=300' },
    answer: null,
    asked: [],
  };
  const world = fakeWorld(async (input) => {
    jwks.asked.push(String(input));
    return jwks.answer?.() ?? new Response(JSON.stringify({ keys: jwks.keys }), { headers: jwks.headers });
  });
  world.nodeCrypto = crypto;
  const another = (more: Partial<VerifierOptions> = {}) => {
    const other = createVerifierIn(world, { issuer: AUTH, audience: AUDIENCE, ...options, ...more });
    t.teardown(() => other.close());
    return other;
  };
  const verifier = another();
  return {
    world,
    jwks,
    key,
    forge: forgeWith(key),
    verifier,
    another,
    outcome: (token) => outcomeOf(verifier.verify(token)),
  };
}

/** The code of the refusal, or `accepted`; anything but a VerifyError is thrown on. */
export const outcomeOf = (verified: Promise<unknown>): Promise<string> =>
  verified.then(
    () => 'accepted',
    (error) => {
      if (error?.name !== 'VerifyError') throw error;
      return error.code;
    },
  );
