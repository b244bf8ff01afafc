import type { Clock } from '../ports/clock.js';

/** Other texts than these are told each time: a text that is never the same would be one more to remember each time. */
const MAX_TEXTS = 100;

/** Passes each text on at most once in so many milliseconds: what fails again and again is told, and floods no log. */
export function seldom(
  everyMs: number,
  { monotonic }: Pick<Clock, 'monotonic'>,
  tell: (text: string) => void,
): (text: string) => void {
  const told = new Map<string, number>();
  return (text) => {
    const now = monotonic();
    if (now - (told.get(text) ?? Number.NEGATIVE_INFINITY) < everyMs) return;
    for (const [known, at] of told) if (now - at >= everyMs) told.delete(known);
    if (told.size < MAX_TEXTS) told.set(text, now);
    tell(text);
  };
}
