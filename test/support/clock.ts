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
  const advance = (seconds: number): void => {
    now += seconds * 1000;
    elapsed += seconds * 1000;
  };
  return {
    now: () => instant(now),
    monotonic: () => elapsed,
    // Whoever waits is not kept: the time goes on instead.
    async pause(ms) {
      advance(ms / 1000);
      await setImmediate();
    },
    advance,
    setBack(seconds) {
      now -= seconds * 1000;
    },
  };
}
