/** Access tokens: JWTs in the profile of RFC 9068. What is in them, and how strictly one is read again (RFC 8725). */
import type { Clock } from '../ports/clock.js';
import type { VerifySignature } from '../ports/token-signer.js';
import type { JsonObject } from '../verifier/strict-json.js';
import { createTokenReader } from '../verifier/token-reader.js';
import { createVerifiedTokens } from '../verifier/verified.js';
import { toBase64url } from './base64url.js';
import { type ErrorCode, Refusal } from './errors.js';
import type { KeyRing, PublishedKey } from './key-ring.js';
import { type SessionId, seconds, signingAlgs } from './types.js';

/** For `exp`, `nbf` and `iat`, seconds: nodes' and services' clocks differ a little. */
export const CLOCK_TOLERANCE_S = 5;

export interface AccessTokenContent {
  sub: string;
  aud: string;
  /** Seconds since the epoch. */
  iat: number;
  /** Seconds. */
  ttl: number;
  jti: string;
  clientId: string;
  scope: string;
  /** Absent for client credentials, like the next two. */
  sid?: SessionId;
  roles?: readonly string[];
  authTime?: number;
}

export interface AccessTokenIssuer {
  /** Throws Refusal `signing_key_unavailable`. */
  ensureCanIssue(): void;
  /** Rejects with Refusal `signing_key_unavailable` too, when the signature cannot be made. */
  issue(content: AccessTokenContent): Promise<string>;
}

/** A refresh has been committed by now: its client is told to ask again, and the retry is a replay. */
function refuse(cause: unknown): never {
  throw new Refusal('signing_key_unavailable', { cause });
}

const encode = (value: unknown): string => toBase64url(Buffer.from(JSON.stringify(value)));

type SigningKey = ReturnType<KeyRing['signingKey']>;

export function createAccessTokenIssuer(issuer: string, keys: KeyRing): AccessTokenIssuer {
  async function sign({ kid, alg, handle }: SigningKey, claims: object): Promise<string> {
    const signingInput = `${encode({ alg, kid, typ: 'at+jwt' })}.${encode(claims)}`;
    return `${signingInput}.${toBase64url(await handle.sign(Buffer.from(signingInput)))}`;
  }

  /** Another node may have rotated a moment ago, and destroyed in a device the key that this one still knows. */
  async function successorOf(kid: string): Promise<SigningKey | null> {
    await keys.load();
    const key = keys.signingKey();
    return key.kid === kid ? null : key;
  }

  return {
    ensureCanIssue() {
      keys.signingKey();
    },
    async issue({ sub, aud, iat, ttl, jti, clientId, scope, sid, roles, authTime }) {
      const key = keys.signingKey();
      // JSON leaves out what is undefined. The order is fixed: with RS256 the same content is the same token.
      const exp = iat + ttl;
      const claims = {
        iss: issuer,
        sub,
        aud,
        iat,
        nbf: iat,
        exp,
        jti,
        sid,
        client_id: clientId,
        scope,
        roles,
        auth_time: authTime,
      };
      try {
        return await sign(key, claims);
      } catch (cause) {
        const successor = await successorOf(key.kid).catch(() => null);
        if (successor !== null) return sign(successor, claims).catch(refuse);
        return refuse(cause);
      }
    },
  };
}

/** What a verified token says. */
export interface AccessToken {
  sub: string;
  aud: readonly string[];
  iat: number;
  exp: number;
  jti: string;
  sid: string | null;
  clientId: string | null;
  scope: string;
  nbf: number | null;
  /** As they were when it was issued. */
  roles: readonly string[] | null;
}

export interface Expected {
  /** The audience that must be among the token's; null where any will do because the session is checked instead. */
  audience: string | null;
}

export type VerifyAccessToken = (token: string, expected: Expected) => Promise<AccessToken>;

const faults: ReadonlySet<ErrorCode> = new Set([
  'token_malformed',
  'unsupported_algorithm',
  'unknown_key',
  'invalid_signature',
  'token_expired',
  'token_not_yet_valid',
  'invalid_issuer',
  'invalid_audience',
]);

/** That the token is no good, where anything else that is thrown says nothing of it. */
export const isTokenFault = (error: unknown): error is Refusal => error instanceof Refusal && faults.has(error.code);

/** For those who may ask about any token, and are not told what is wrong with it. */
export const verifiedOrNull = (verify: VerifyAccessToken, token: string): Promise<AccessToken | null> =>
  verify(token, { audience: null }).catch((error) => {
    if (isTokenFault(error)) return null;
    throw error;
  });

/** About 3 kB each: a gateway asks about the same token with every request of its holder. */
const MOST_VERIFIED = 5_000;

interface VerifiedToken {
  /** Good for as long as this very key is published. */
  key: PublishedKey;
  token: AccessToken;
}

export interface VerifierParts {
  issuer: string;
  keys: Pick<KeyRing, 'find' | 'wasPublished'>;
  verifySignature: VerifySignature;
  clock: Clock;
}

export function createAccessTokenVerifier({ issuer, keys, verifySignature, clock }: VerifierParts): VerifyAccessToken {
  const verified = createVerifiedTokens<VerifiedToken>(MOST_VERIFIED);
  const readToken = createTokenReader(signingAlgs, (flaw) => new Refusal(flaw));

  async function verify(text: string): Promise<VerifiedToken> {
    const { alg, kid, claims, signed } = readToken(text);
    const key = await keys.find(kid);
    if (key === null) throw new Refusal('unknown_key', { genuine: keys.wasPublished(kid) });
    // The algorithm is the key's, never the token's choice (RFC 8725 §3.1).
    if (key.alg !== alg) throw new Refusal('unsupported_algorithm');
    const signingInput = Buffer.from(signed.signingInput);
    if (!(await verifySignature(alg, key.publicJwk, signingInput, signed.signature)))
      throw new Refusal('invalid_signature');
    return { key, token: readClaims(claims, issuer) };
  }

  return async (text, expected) => {
    const known = verified.get(text);
    const isKnown = known !== undefined && (await keys.find(known.key.kid)) === known.key;
    const found = isKnown ? known : await verify(text);
    check(found.token, expected, seconds(clock.now()));
    // Not those that are no good any more: somebody may have many of them.
    if (!isKnown) verified.set(text, found);
    return found.token;
  };
}

const malformed = (): Refusal => new Refusal('token_malformed');

const areTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((entry) => typeof entry === 'string');

const isInstant = (value: unknown): value is number => Number.isFinite(value);

const optionalString = (value: unknown): string | null => {
  if (value !== undefined && typeof value !== 'string') throw malformed();
  return value ?? null;
};

/** What no passing of time changes. */
function readClaims(claims: JsonObject, issuer: string): AccessToken {
  const { iss, sub, exp, iat, nbf, jti, roles = null } = claims;
  const aud = typeof claims.aud === 'string' ? [claims.aud] : claims.aud;
  if (typeof iss !== 'string' || typeof sub !== 'string' || typeof jti !== 'string') throw malformed();
  if (!areTexts(aud) || aud.length === 0 || aud.includes('')) throw malformed();
  if (!isInstant(exp) || !isInstant(iat) || (nbf !== undefined && !isInstant(nbf))) throw malformed();
  const sid = optionalString(claims.sid);
  const clientId = optionalString(claims.client_id);
  const scope = optionalString(claims.scope) ?? '';
  if (roles !== null && !areTexts(roles)) throw malformed();
  if (iss !== issuer) throw new Refusal('invalid_issuer');
  return { sub, aud, iat, exp, jti, sid, clientId, scope, nbf: nbf ?? null, roles };
}

function check({ aud, exp, iat, nbf }: AccessToken, { audience }: Expected, now: number): void {
  if (audience !== null && !aud.includes(audience)) throw new Refusal('invalid_audience');
  if (now >= exp + CLOCK_TOLERANCE_S) throw new Refusal('token_expired');
  if (now < Math.max(iat, nbf ?? 0) - CLOCK_TOLERANCE_S) throw new Refusal('token_not_yet_valid');
}
