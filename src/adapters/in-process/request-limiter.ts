import type { Clock } from '../../ports/clock.js';
import type { Quota, RequestLimiter } from '../../ports/request-limiter.js';

/** Subjects that are counted at one time, at most; those that were seen in the last half of them are all there. */
const MAX_SUBJECTS = 50_000;
export const WINDOW_MS = 60_000;

/** A minute of one subject. It begins with the first request in it, so that not all subjects come again at one time. */
export interface Window {
  readonly subject: string;
  /** As far as is known here. */
  taken: number;
  /** Of these, what nobody else has been told. */
  untold: number;
  /** On the monotonic clock, milliseconds. */
  endsAt: number;
}

/** Counts in this process alone, and tells `changed` of what it has counted. */
export function createInProcessRequestLimiter(
  limit: number,
  clock: Pick<Clock, 'monotonic'>,
  changed: (window: Window) => void = () => {},
  most = MAX_SUBJECTS,
): RequestLimiter {
  // Two generations: the old one is dropped whole when the young one is full. A map that forgets its oldest entry one by one
  // looks for it among the places of all that it has forgotten before: 25 µs each, just when there are most subjects.
  const half = Math.ceil(most / 2);
  let young = new Map<string, Window>();
  let old = new Map<string, Window>();

  /** The one that goes on, now among the young. */
  function windowOf(subject: string, now: number): Window {
    const seen = young.get(subject);
    if (seen !== undefined && seen.endsAt > now) return seen;
    const kept = seen ?? old.get(subject);
    const isOver = kept === undefined || kept.endsAt <= now;
    const window = isOver ? { subject, taken: 0, untold: 0, endsAt: now + WINDOW_MS } : kept;
    if (young.size >= half && seen === undefined) {
      old = young;
      young = new Map();
    }
    young.set(subject, window);
    return window;
  }

  const find = (subject: string): Window | undefined => young.get(subject) ?? old.get(subject);

  function count(window: Window, by: number): void {
    window.taken += by;
    window.untold += by;
    changed(window);
  }

  const quotaOf = (granted: boolean, { taken, endsAt }: Window, now: number): Quota => ({
    granted,
    left: Math.max(0, limit - taken),
    resetsIn: Math.max(1, Math.ceil((endsAt - now) / 1000)),
  });

  return {
    limit,
    take(subject) {
      const now = clock.monotonic();
      const window = windowOf(subject, now);
      // Whoever has had all costs nothing more: not even that others are told of him.
      const granted = window.taken < limit;
      if (granted) count(window, 1);
      return quotaOf(granted, window, now);
    },
    look(subject) {
      const now = clock.monotonic();
      const window = find(subject);
      if (window === undefined || window.endsAt <= now)
        return { granted: true, left: limit, resetsIn: WINDOW_MS / 1000 };
      return quotaOf(window.taken < limit, window, now);
    },
    giveBack(subject) {
      const window = find(subject);
      if (window !== undefined && window.taken > 0) count(window, -1);
    },
  };
}
