/**
 * What has been found out about tokens already, so that the second check of one is a look-up. Only tokens whose
 * signature was right get in, so nobody can fill it with inventions.
 */
import type { Key } from './jwks.js';
import type { AccessTokenClaims } from './token.js';

/** About 2 kB each. */
const MAX_TOKENS = 10_000;

export interface Verified {
  kid: string;
  /** Good for as long as this key is the one of that name. */
  key: Key;
  claims: AccessTokenClaims;
}

export interface VerifiedTokens {
  get(token: string): Verified | undefined;
  set(token: string, verified: Verified): void;
}

const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];

/** One that was cut out of a header would keep all of that alive, and whoever sent it may have put 16 kB of blanks in. */
const copyOf = (text: string): string => decoder.decode(encoder.encode(text));

/** When it is full the token that has been in it for longest goes: with lives of one length it expires first. */
export function createVerifiedTokens(most = MAX_TOKENS): VerifiedTokens {
  const tokens = new Map<string, Verified>();
  // One that goes on: a new one would go past the places of all that were deleted before, each time.
  const oldestFirst = tokens.keys();
  return {
    get: (token) => tokens.get(token),
    set(token, verified) {
      const oldest = tokens.size >= most ? oldestFirst.next().value : undefined;
      if (oldest !== undefined) tokens.delete(oldest);
      tokens.set(copyOf(token), verified);
    },
  };
}
