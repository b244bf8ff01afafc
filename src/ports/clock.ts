import type { Instant } from '../domain/types.js';

export interface Clock {
  now(): Instant;
  /** Milliseconds since some moment of its own: for the age of things, which a clock that is set must not change. */
  monotonic(): number;
  /** Resolves after so many milliseconds. */
  pause(ms: number): Promise<void>;
}
