/** The claims of requests that a framework lets through, without touching the framework's types. */
import type { AccessTokenClaims } from './token.js';

const claims = new WeakMap<object, AccessTokenClaims>();

export const keepClaims = (request: object, of: AccessTokenClaims): void => void claims.set(request, of);

/** The claims of the token that came with the request. Throws TypeError where no token was asked for. */
export function claimsOf(request: object): AccessTokenClaims {
  const found = claims.get(request);
  if (found === undefined) throw new TypeError('claimsOf: this route does not ask for a token');
  return found;
}
