import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { AttemptLimiter } from '../../ports/attempt-limiter.js';

export interface LimitSettings {
  /** Failures that are allowed in `window`; 0 turns the limiter off. */
  failures: number;
  /** Seconds. */
  window: number;
  /** Seconds for which the subject is blocked by the failure that reaches the limit. */
  block: number;
}

/** The longest that a timer of Node can wait, seconds; a longer one would end at once, and the block with it. */
const MAX_BLOCK_S = Math.floor((2 ** 31 - 1) / 1000);

const none: AttemptLimiter = { blockedFor: async () => 0, fail: async () => 0 };

const secondsOf = (ms: number) => Math.ceil(ms / 1000);

/** Counts in this process alone. */
export function createInProcessLimiter({ failures, window, block }: LimitSettings): AttemptLimiter {
  if (failures === 0) return none;
  // The failure that reaches the limit is the one that blocks.
  const blockDuration = Math.min(block, MAX_BLOCK_S);
  const limiter = new RateLimiterMemory({ points: failures - 1, duration: window, blockDuration });
  return {
    async blockedFor(subject) {
      const state = await limiter.get(subject);
      return state !== null && state.consumedPoints > failures - 1 ? secondsOf(state.msBeforeNext) : 0;
    },
    async fail(subject) {
      try {
        await limiter.consume(subject);
        return 0;
      } catch (state) {
        if (state instanceof Error) throw state;
        return secondsOf((state as { msBeforeNext: number }).msBeforeNext);
      }
    },
  };
}
