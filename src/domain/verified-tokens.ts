/**
 * Tokens whose signature was found right, so that the next check of one is a look-up: a gateway asks about the same token
 * with every request of its holder. What can change, the time, the demands and the keys, is checked each time.
 */
import type { AccessToken } from './access-token.js';
import type { PublishedKey } from './key-ring.js';
import { createForgetOldest } from './oldest.js';

/** About 3 kB each. When it is full, the one that has been in it for longest goes. */
const MAX_TOKENS = 5_000;

export interface VerifiedToken {
  /** Good for as long as this very key is published. */
  key: PublishedKey;
  token: AccessToken;
}

export interface VerifiedTokens {
  get(text: string): VerifiedToken | undefined;
  set(text: string, verified: VerifiedToken): void;
}

export function createVerifiedTokens(most = MAX_TOKENS): VerifiedTokens {
  const tokens = new Map<string, VerifiedToken>();
  const forgetOldest = createForgetOldest(tokens);
  return {
    get: (text) => tokens.get(text),
    set(text, verified) {
      if (tokens.size >= most) forgetOldest();
      tokens.set(text, verified);
    },
  };
}
