import type { Clock } from '../ports/clock.js';

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
    told.set(text, now);
    tell(text);
  };
}
