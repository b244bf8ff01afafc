/** A verifier that follows a feed: over real connections, in a world of its own. */
import type { Test } from 'tap';
import type { RevocationOptions } from '../../src/verifier/options.js';
import { createVerifierIn, type Verifier } from '../../src/verifier/verifier.js';
import { type RevocationFeed, soon, startFeed } from './revocation-feed.js';
import { AUDIENCE, type FakeWorld, fakeWorld, forgeWith, type Json, NOW, outcomeOf, rsaKey } from './verifier.js';

const key = rsaKey('Key-1');
/** How all tokens for the feed begin. */
export const FEED_TOKEN = 'c2VjcmV0.c2VjcmV0.c2VjcmV0';

export interface Following {
  feed: RevocationFeed;
  world: FakeWorld;
  verifier: Verifier;
  /** Of a token with these claims. */
  outcome(claims?: Json): Promise<string>;
  becomes(expected: string, claims?: Json): Promise<void>;
  /** Moves the clock in short steps until it is so, as time would pass. */
  passesUntil(isSo: () => boolean | Promise<boolean>, what: string): Promise<void>;
  problems: Error[];
}

/** The keys come from the test, the revocations from the feed. */
export async function following(
  t: Test,
  options: Partial<RevocationOptions> = {},
  feed?: RevocationFeed,
): Promise<Following> {
  const from = feed ?? (await startFeed(t));
  const world = fakeWorld((input, init) =>
    String(input).endsWith('jwks.json')
      ? Promise.resolve(Response.json({ keys: [key.publicJwk] }, { headers: { 'cache-control': 'max-age=3600' } }))
      : globalThis.fetch(input, init),
  );
  from.now = world.now;
  const problems: Error[] = [];
  let given = 0;
  const revocationOptions: RevocationOptions = {
    follow: { token: async () => `${FEED_TOKEN}${++given}` },
    onProblem: (problem) => problems.push(problem),
    ...options,
  };
  const verifier = createVerifierIn(world, { issuer: from.url, audience: AUDIENCE, revocation: revocationOptions });
  t.teardown(() => verifier.close());
  const forge = forgeWith(key, { iss: from.url, exp: NOW + 86_400 });
  const outcome = (claims: Json = {}) => outcomeOf(verifier.verify(forge.token({ claims })));
  return {
    feed: from,
    world,
    verifier,
    problems,
    outcome,
    becomes: (expected, claims) =>
      soon(async () => (await outcome(claims)) === expected, `a token becomes ${expected}`),
    passesUntil: (isSo, what) =>
      soon(async () => {
        if (await isSo()) return true;
        world.advance(0.05);
        return false;
      }, what),
  };
}
