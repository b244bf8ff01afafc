import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { EventLoop } from '../../ports/event-loop.js';

/** Milliseconds from one sample to the next; what is above it is delay. */
const RESOLUTION_MS = 10;

export function watchEventLoop(): EventLoop {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  let askedAt = performance.now();
  return {
    delay() {
      const now = performance.now();
      // Not a single sample: all of the time was one turn.
      const mean = histogram.count === 0 ? now - askedAt : histogram.mean / 1e6 - RESOLUTION_MS;
      histogram.reset();
      askedAt = now;
      return Math.max(0, mean);
    },
  };
}
