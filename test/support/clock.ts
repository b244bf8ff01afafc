import { setImmediate } from 'node:timers/promises';
import { instant } from '../../src/domain/types.js';
import type { Clock } from '../../src/ports/clock.js';

export interface FakeClock extends Clock {
  advance(seconds: number): void;
  /** Sets it back, as an operator may: time itself goes on. */
  setBack(seconds: number): void;
}

/** Stands still until it is moved. Starts on 1 March 2026, 12:00:00.250 UTC. */
export function fakeClock(start = Date.UTC(2026, 2, 1, 12, 0, 0, 250)): FakeClock {
  let now = start;
  let elapsed = 0;
  return {
    now: () => instant(now),
    monotonic: () => elapsed,
    // Whoever waits is not kept: the test moves the time.
    pause: async () => void (await setImmediate()),
    advance(seconds) {
      now += seconds * 1000;
      elapsed += seconds * 1000;
    },
    setBack(seconds) {
      now -= seconds * 1000;
    },
  };
}
