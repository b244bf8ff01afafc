/**
 * What has been found out about tokens already, so that the second check of one is a look-up. Only tokens whose
 * signature was right get in, so nobody can fill it with inventions. The service remembers tokens by this, too.
 */
import { copyOf } from './ascii.js';

export interface VerifiedTokens<Found> {
  get(token: string): Found | undefined;
  set(token: string, found: Found): void;
}

/**
 * Characters of the signature, which tell a token from all others: 256 bits. A Map by the whole token would read all of
 * it, twice, before it begins to compare.
 */
const TAIL_LENGTH = 43;

const tailOf = (token: string): string => token.slice(-TAIL_LENGTH);

/** When `most` are in it, the one that has been in it for longest goes: with lives of one length it expires first. */
export function createVerifiedTokens<Found>(most: number): VerifiedTokens<Found> {
  const byTail = new Map<string, { token: string; found: Found }>();
  // One that goes on: a new one would go past the places of all that were deleted before, each time.
  const oldestFirst = byTail.keys();
  return {
    get(token) {
      const entry = byTail.get(tailOf(token));
      return entry?.token === token ? entry.found : undefined;
    },
    set(token, found) {
      const oldest = byTail.size >= most ? oldestFirst.next().value : undefined;
      if (oldest !== undefined) byTail.delete(oldest);
      // Whoever sent it may have put 16 kB of blanks into the header that it was cut out of.
      const kept = copyOf(token);
      byTail.set(tailOf(kept), { token: kept, found });
    },
  };
}
