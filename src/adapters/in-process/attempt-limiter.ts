import { createForgetOldest } from '../../domain/oldest.js';
import { type AttemptLimiter, type LimitSettings, noLimit } from '../../ports/attempt-limiter.js';
import type { Clock } from '../../ports/clock.js';

/** Subjects that are counted at one time; the one that failed least recently is forgotten first. */
const MAX_SUBJECTS = 50_000;

interface Count {
  failures: number;
  /** On the monotonic clock, milliseconds. */
  forgottenAt: number;
  blockedUntil: number;
}

/** Counts in this process alone. */
export function createInProcessLimiter(
  { failures: limit, window, block, longestBlock }: LimitSettings,
  clock: Pick<Clock, 'monotonic'>,
  most = MAX_SUBJECTS,
): AttemptLimiter {
  if (limit === 0) return noLimit;
  const counts = new Map<string, Count>();
  const forgetOldest = createForgetOldest(counts);

  const secondsLeft = (count: Count | undefined): number =>
    count === undefined ? 0 : Math.max(0, Math.ceil((count.blockedUntil - clock.monotonic()) / 1000));

  function countOf(subject: string): Count {
    const now = clock.monotonic();
    const known = counts.get(subject);
    if (known !== undefined && now < known.forgottenAt) return known;
    return { failures: 0, forgottenAt: now + window * 1000, blockedUntil: 0 };
  }

  function keep(subject: string, count: Count): void {
    // Set anew, so that the first of the map is the one that failed least recently.
    counts.delete(subject);
    counts.set(subject, count);
    if (counts.size > most) forgetOldest();
  }

  return {
    blockedFor: async (subject) => secondsLeft(counts.get(subject)),
    // In one go, without an await in between: parallel failures come one after the other.
    async fail(subject) {
      const blockedFor = secondsLeft(counts.get(subject));
      if (blockedFor > 0) return { blockedFor, begins: false };
      const count = countOf(subject);
      count.failures++;
      const begins = count.failures >= limit;
      if (begins) {
        const length =
          longestBlock === undefined ? block : Math.min(block * 2 ** (count.failures - limit), longestBlock);
        count.blockedUntil = clock.monotonic() + length * 1000;
        count.forgottenAt = count.blockedUntil + (longestBlock === undefined ? 0 : window * 1000);
      }
      keep(subject, count);
      return { blockedFor: secondsLeft(count), begins };
    },
  };
}
