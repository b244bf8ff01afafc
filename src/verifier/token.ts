/** What an access token (a JWT in the profile of RFC 9068) says, and whether it may be relied upon. */
import { VerifyError } from './errors.js';
import type { JsonObject } from './strict-json.js';

/** What may be asked of `algorithms`: what Keyturn signs with. All are of public keys, so that no secret can be one. */
export const supportedAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
export type Algorithm = (typeof supportedAlgorithms)[number];

/** The claims of an access token (RFC 9068 §2.2). They are shared and frozen. Instants are seconds since the epoch. */
export interface AccessTokenClaims {
  readonly iss: string;
  /** The user's id; the client's own for client credentials. */
  readonly sub: string;
  readonly aud: string | readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf?: number;
  readonly jti: string;
  /** The session; absent for client credentials. */
  readonly sid?: string;
  readonly client_id?: string;
  /** What was granted, space-separated. */
  readonly scope?: string;
  readonly roles?: readonly string[];
  readonly auth_time?: number;
  readonly [claim: string]: unknown;
}

const malformed = (): VerifyError => new VerifyError('token_malformed');

const isString = (value: unknown): value is string => typeof value === 'string';
const isStrings = (value: unknown): value is string[] => Array.isArray(value) && value.every(isString);
const isOptional = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value);
const isAudience = (aud: unknown): boolean =>
  isString(aud) ? aud !== '' : isStrings(aud) && aud.length > 0 && aud.every((entry) => entry !== '');

function hasTypes(claims: JsonObject): claims is JsonObject & AccessTokenClaims {
  const { iss, sub, aud, exp, iat, nbf, jti, sid, client_id: clientId, scope, roles, auth_time: authTime } = claims;
  return (
    [iss, sub, jti].every(isString) &&
    [exp, iat].every(Number.isFinite) &&
    [nbf, authTime].every((value) => isOptional(value, Number.isFinite)) &&
    [sid, clientId, scope].every((value) => isOptional(value, isString)) &&
    isOptional(roles, isStrings) &&
    isAudience(aud)
  );
}

export interface Expected {
  issuer: string;
  audience: string;
}

/** Throws VerifyError `token_malformed`, `invalid_issuer` or `invalid_audience`: what no passing of time changes. */
export function checkClaims(claims: JsonObject, { issuer, audience }: Expected): AccessTokenClaims {
  if (!hasTypes(claims)) throw malformed();
  if (claims.iss !== issuer) throw new VerifyError('invalid_issuer');
  const audiences = isString(claims.aud) ? [claims.aud] : claims.aud;
  if (!audiences.includes(audience)) throw new VerifyError('invalid_audience');
  return freeze(claims);
}

/** Deep: whoever gets the claims shares them with all others who send the same token. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze);
  return value;
}

/** Throws VerifyError `token_expired` or `token_not_yet_valid`. `now` and `tolerance` are in seconds. */
export function checkTime({ exp, iat, nbf = 0 }: AccessTokenClaims, now: number, tolerance: number): void {
  if (now >= exp + tolerance) throw new VerifyError('token_expired');
  if (now < Math.max(iat, nbf) - tolerance) throw new VerifyError('token_not_yet_valid');
}

const scopesOf = (scope: string): string[] => scope.split(' ').filter((name) => name !== '');

/** Throws VerifyError `insufficient_scope` unless each of the scopes, space-separated, was granted. */
export function checkScope({ scope: granted = '' }: AccessTokenClaims, scope: string): void {
  const has = scopesOf(granted);
  if (!scopesOf(scope).every((wanted) => has.includes(wanted))) throw new VerifyError('insufficient_scope', { scope });
}
