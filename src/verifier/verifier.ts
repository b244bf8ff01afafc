/** Puts the parts together: is this token good, here and now? */
import { bearerOf, type FetchRequest, type NodeRequest } from './bearer.js';
import { VerifyError } from './errors.js';
import { follow } from './follower.js';
import type { Key } from './jwks.js';
import { createKeyCache } from './keys.js';
import { settingsOf, type VerifierOptions } from './options.js';
import { systemWorld, type World } from './time.js';
import { type AccessTokenClaims, checkClaims, checkScope, checkTime } from './token.js';
import { createTokenReader } from './token-reader.js';
import { createVerifiedTokens } from './verified.js';

/** What a token must allow, beyond being good. */
export interface Requirements {
  /** Scopes, space-separated; all of them are needed. */
  scope?: string;
}

export interface Verifier {
  /**
   * The claims of an access token that is good now. Rejects with VerifyError and with nothing else. `token` is the bare
   * token, without `Bearer`.
   */
  verify(token: string, requirements?: Requirements): Promise<AccessTokenClaims>;
  /**
   * The same for the bearer token of a request: of the Fetch API, or of `node:http` and the frameworks upon it. A token
   * is taken from a single Authorization header, and from nowhere else.
   */
  verifyRequest(request: FetchRequest | NodeRequest, requirements?: Requirements): Promise<AccessTokenClaims>;
  /**
   * For the start of a service: resolves when the keys are there and the revocations are known. Rejects with VerifyError
   * `keys_unavailable` when the keys cannot be had, and with `revocation_unknown` when the revocations are not known after
   * 10 seconds and unknown means `"reject"`. It may be called again, or not at all.
   */
  warmUp(): Promise<void>;
  /**
   * Ends all connections; one that follows revocations keeps its process alive until then. Tokens are checked by what is
   * known for as long as that may be relied on.
   */
  close(): Promise<void>;
}

/** Of tokens that were found right. About 2 kB each. */
const MOST_VERIFIED = 10_000;

interface Verified {
  kid: string;
  /** Good for as long as this key is the one of that name. */
  key: Key;
  claims: AccessTokenClaims;
}

/** For the first view of the revocations, at the start. Milliseconds. */
const FIRST_VIEW_MS = 10_000;

/** Throws TypeError when an option is wrong. Begins to follow the revocations at once, if it is to. */
export const createVerifier = (options: VerifierOptions): Verifier =>
  createVerifierIn(systemWorld(options.fetch), options);

/** With the clocks, timers and chance of `world`. */
export function createVerifierIn(world: World, options: VerifierOptions): Verifier {
  const settings = settingsOf(options);
  const { baseUrl, algorithms, clockTolerance, revocation } = settings;
  const isRequired = revocation?.onUnknown === 'reject';
  const feed = revocation && follow({ baseUrl, ...revocation }, world);
  const keys = createKeyCache(settings, world);
  const verified = createVerifiedTokens<Verified>(MOST_VERIFIED);
  const readToken = createTokenReader(algorithms, (flaw) => new VerifyError(flaw));

  /** What was found out before, as long as the key that it was found out with is still the issuer's. */
  const recall = (token: string, keyOf: (kid: string) => Key | undefined): AccessTokenClaims | null => {
    const found = verified.get(token);
    return found !== undefined && keyOf(found.kid) === found.key ? found.claims : null;
  };

  async function check(token: string): Promise<AccessTokenClaims> {
    const { alg, kid, claims: unchecked, signed } = readToken(token);
    const key = await keys.find(kid);
    // The keys may have had to be waited for, and still be the same.
    const known = recall(token, () => key);
    if (known !== null) return known;
    // The algorithm is the key's, never the token's choice (RFC 8725 §3.1).
    if (key.alg !== alg) throw new VerifyError('unsupported_algorithm');
    if (!(await key.isSigned(signed))) throw new VerifyError('invalid_signature');
    const claims = checkClaims(unchecked, settings);
    checkTime(claims, world.now() / 1000, clockTolerance);
    verified.set(token, { kid, key, claims });
    return claims;
  }

  /** By what is known now, each time: it may have been heard a moment ago. */
  function checkRevocation(claims: AccessTokenClaims): void {
    if (feed === null) return;
    if (feed.revokes(claims)) throw new VerifyError('token_revoked');
    if (isRequired && !feed.isCurrent()) throw new VerifyError('revocation_unknown', { cause: feed.problem() });
  }

  async function verify(token: string, { scope = '' }: Requirements = {}): Promise<AccessTokenClaims> {
    if (token === undefined || token === null || token === '') throw new VerifyError('token_missing');
    if (typeof token !== 'string') throw new VerifyError('token_malformed');
    const claims = recall(token, keys.known) ?? (await check(token));
    checkTime(claims, world.now() / 1000, clockTolerance);
    checkRevocation(claims);
    checkScope(claims, scope);
    return claims;
  }

  return {
    verify,
    verifyRequest: async (request, requirements) => verify(bearerOf(request), requirements),
    async warmUp() {
      await keys.load();
      const isKnown = (await feed?.whenCurrent(FIRST_VIEW_MS)) ?? true;
      if (isRequired && !isKnown) throw new VerifyError('revocation_unknown', { cause: feed?.problem() });
    },
    async close() {
      keys.close();
      await feed?.close();
    },
  };
}
