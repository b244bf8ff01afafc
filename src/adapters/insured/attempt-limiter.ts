/**
 * Failures counted for all nodes, and in this process too: it takes over at once when the other does not answer, and
 * knows already whom it has to block.
 */
import type { AttemptLimiter } from '../../ports/attempt-limiter.js';
import type { Clock } from '../../ports/clock.js';

/** How long the shared one is left alone after it has failed: not every login has to wait for it. Milliseconds. */
const REST_MS = 1_000;

/** Whether what all nodes share can be reached; one for all limiters that stand on it. */
export interface Shared {
  /** What it answers; null where it does not. */
  ask<T>(question: () => Promise<T>): Promise<T | null>;
}

export function createShared(clock: Pick<Clock, 'monotonic'>, onChange: (reached: boolean) => void): Shared {
  let reached = true;
  let restsUntil = 0;
  const now = (is: boolean) => {
    if (is !== reached) onChange(is);
    reached = is;
  };
  return {
    async ask(question) {
      if (!reached && clock.monotonic() < restsUntil) return null;
      const isTrial = !reached;
      // While one tries whether it is back, nobody else waits for it.
      if (isTrial) restsUntil = clock.monotonic() + REST_MS;
      try {
        const answer = await question();
        // The late answers of one that is slow do not say that it is back.
        if (isTrial) now(true);
        return answer;
      } catch {
        restsUntil = clock.monotonic() + REST_MS;
        now(false);
        return null;
      }
    },
  };
}

export const createInsuredLimiter = (
  shared: Shared,
  everywhere: AttemptLimiter,
  here: AttemptLimiter,
): AttemptLimiter => ({
  async blockedFor(subject) {
    const known = await here.blockedFor(subject);
    // Nobody has to be asked about somebody who has failed here too often.
    if (known > 0) return known;
    return (await shared.ask(() => everywhere.blockedFor(subject))) ?? 0;
  },
  async fail(subject) {
    const local = await here.fail(subject);
    const wasBlocked = local.blockedFor > 0 && !local.begins;
    const told = await shared.ask(() => everywhere.fail(subject));
    if (told === null) return local;
    return {
      blockedFor: Math.max(told.blockedFor, local.blockedFor),
      // The shared one may have counted less: its minute is another one, or it has come back with nothing in it.
      begins: !wasBlocked && (told.begins || (local.begins && told.blockedFor === 0)),
    };
  },
});
