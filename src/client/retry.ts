/** Asking again, for as long as patience lasts. Times are those of `performance.now()`: it goes on when the clock is set. */
import { type Answer, NO_ANSWER, unavailable } from './http.js';

/** Done, or to be tried again after an answer that is none. */
export type Step<T> = { done: T } | { retry: Answer };

// Milliseconds.
const BACKOFF_MS = 300;
const MAX_BACKOFF_MS = 10_000;
/** Clients that were all told the same Retry-After shall not all come back at the same moment. */
const SPREAD_MS = 1_000;

/** Full jitter, doubling; never sooner than the service asks for. */
export const pauseBefore = (attempt: number, { retryAfter }: Answer): number =>
  retryAfter > 0
    ? retryAfter * 1000 + Math.random() * SPREAD_MS
    : Math.random() * Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** attempt);

async function pauseUntil(until: number, deadline: number, answer: Answer): Promise<void> {
  if (until > deadline) throw unavailable(answer);
  const pause = until - performance.now();
  if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
}

/** Takes steps until one is done; rejects with `unavailable` when patience, in milliseconds, runs out. */
export type Persist = <T>(step: () => Promise<Step<T>>) => Promise<T>;

export function createPersist(patience: number): Persist {
  // What the service asks for holds for later calls too; a lost connection may be back for them.
  let quiet = { until: 0, answer: NO_ANSWER };
  return async (step) => {
    const deadline = performance.now() + patience;
    for (let attempt = 0; ; attempt++) {
      await pauseUntil(quiet.until, deadline, quiet.answer);
      const result = await step();
      if ('done' in result) return result.done;
      const answer = result.retry;
      const until = performance.now() + pauseBefore(attempt, answer);
      if (answer.retryAfter > 0) quiet = { until, answer };
      await pauseUntil(until, deadline, answer);
    }
  };
}
