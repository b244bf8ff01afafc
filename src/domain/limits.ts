/** Guessing at secrets, slowed down: too many failures from one address block it for a while. */
import ipaddr from 'ipaddr.js';
import type { AttemptLimiter } from '../ports/attempt-limiter.js';
import { isGuess, Refusal } from './errors.js';
import type { Caller } from './types.js';

export interface Guard {
  /**
   * Refuses with `too_many_attempts` while the caller's address is blocked, and counts a guess that fails. Also refuses
   * what came of an attempt that ends in a block: of guesses sent at once no more are answered than of guesses sent one
   * by one. So `attempt` checks the secret, and begins nothing by it.
   */
  secret<T>(caller: Caller, attempt: () => Promise<T>): Promise<T>;
  /**
   * The same for what cannot be guessed: somebody who presents a genuine token from a blocked address (an office, a
   * mobile carrier) is let through, and only the guess is refused.
   */
  token<T>(caller: Caller, attempt: () => Promise<T>): Promise<T>;
}

/**
 * The address as it is counted: IPv6 by /64, which is what one subscriber has; IPv4 in IPv6 dress as IPv4.
 */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown';
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/64`).toString()}/64`;
}

const tooMany = (retryAfter: number) => new Refusal('too_many_attempts', { retryAfter });

export function createGuard(limiter: AttemptLimiter): Guard {
  const subjectOf = (caller: Caller) => (caller.ip === null ? 'unknown' : networkOf(caller.ip));

  async function counted<T>(subject: string, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (isGuess(error)) await limiter.fail(subject);
      throw error;
    }
  }

  return {
    async secret(caller, attempt) {
      const subject = subjectOf(caller);
      const blockedFor = await limiter.blockedFor(subject);
      if (blockedFor > 0) throw tooMany(blockedFor);
      return counted(subject, async () => {
        const outcome = await attempt().then(
          (value) => () => value,
          (error) => () => {
            throw error;
          },
        );
        const blockedMeanwhile = await limiter.blockedFor(subject);
        if (blockedMeanwhile > 0) throw tooMany(blockedMeanwhile);
        return outcome();
      });
    },
    async token(caller, attempt) {
      const subject = subjectOf(caller);
      const blockedFor = await limiter.blockedFor(subject);
      if (blockedFor === 0) return counted(subject, attempt);
      return attempt().catch((error) => {
        throw isGuess(error) ? tooMany(blockedFor) : error;
      });
    },
  };
}
