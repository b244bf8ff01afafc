import { setTimeout } from 'node:timers/promises';
import { instant } from '../../domain/types.js';
import type { Clock } from '../../ports/clock.js';

export const systemClock: Clock = {
  now: () => instant(Date.now()),
  monotonic: () => performance.now(),
  pause: (ms) => setTimeout(ms),
};
