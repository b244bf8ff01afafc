export interface LimitSettings {
  /** Failures that are allowed in `window`; 0 turns the limiter off. */
  failures: number;
  /** Seconds. */
  window: number;
  /** Seconds for which the subject is blocked by the failure that reaches the limit. */
  block: number;
  /**
   * Seconds. Where it is set, each failure after a block doubles the next one, up to this, and the count is forgotten only
   * after a `window` without a block; else a subject whose block is over begins anew.
   */
  longestBlock?: number;
}

export interface Failure {
  /** Seconds for which the subject is now blocked, 0 when it is not. */
  blockedFor: number;
  /** This failure began the block. Whatever failed later, though it was begun before, finds the subject blocked. */
  begins: boolean;
}

/** Counts failed attempts for an address (or whatever else `subject` names) and blocks it when there are too many. */
export interface AttemptLimiter {
  /** Seconds for which the subject is still blocked; 0 when it is not. */
  blockedFor(subject: string): Promise<number>;
  /** Counts a failure, unless the subject is blocked. Of any number of them at once, as many count as the limit allows. */
  fail(subject: string): Promise<Failure>;
}

/** What is counted apart: a subject of one kind has nothing to do with one of another. */
export type LimiterOf = (kind: string, settings: LimitSettings) => AttemptLimiter;

/** Where a limit is turned off. */
export const noLimit: AttemptLimiter = {
  blockedFor: async () => 0,
  fail: async () => ({ blockedFor: 0, begins: false }),
};
