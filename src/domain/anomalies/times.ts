/** Is this an hour at which the user is active? And was there a long silence before it? */
import type { Instant } from '../types.js';
import { clamp, SILENCE, weigh } from './model.js';
import type { Profile } from './profile.js';
import { duration, percent } from './words.js';

const HOUR_MS = 3_600_000;
const LONG_SILENCE_MS = 30 * 86_400_000;
/** Active hours to be known before anything is called unusual: about two weeks of them. */
const ENOUGH_HOURS = 50;
/** Hours and days that are taken for seen everywhere, half an hour in each: Krichevsky and Trofimov's half. */
const HALF = 0.5;
/** An hour alone proves nobody a thief: at most ten to one. And the usual hours are usual for thieves as well. */
const [LEAST, MOST] = [-0.4, 1];

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

export interface Timing {
  weight: number;
  why(): string;
}

const QUIET: Timing = { weight: 0, why: () => '' };
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const at24 = (hours: readonly number[], hour: number) => hours[(hour + 24) % 24] ?? 0;

/** Hour of the day and day of the week (Sunday is 0) in the user's usual time. */
export function localTime(at: Instant, offset: number): { hour: number; day: number } {
  const date = new Date(at + offset * HOUR_MS);
  return { hour: date.getUTCHours(), day: date.getUTCDay() };
}

export function unusualHour(profile: Profile, at: Instant): Timing {
  const total = sum(profile.hours);
  if (total < ENOUGH_HOURS) return QUIET;
  const { hour, day } = localTime(at, profile.offset);
  // Nobody lives by the clock: the hours next to it count half.
  const near = (at24(profile.hours, hour - 1) + 2 * at24(profile.hours, hour) + at24(profile.hours, hour + 1)) / 4;
  const ofHour = (near + HALF) / (total + 24 * HALF);
  const ofDay = ((profile.days[day] ?? 0) + HALF) / (sum(profile.days) + 7 * HALF);
  const weight = clamp(Math.log10(1 / 24 / ofHour) + Math.log10(1 / 7 / ofDay), LEAST, MOST);
  const time = `${String(hour).padStart(2, '0')}:00 on a ${DAYS[day]} in the user's usual time`;
  return { weight, why: () => `${time}; ${percent(near / total)} of the user's active hours are near that` };
}

export const isLongSilence = (profile: Profile, at: Instant): boolean => at - profile.lastAt >= LONG_SILENCE_MS;

export function silence(profile: Profile, at: Instant): Timing {
  if (!isLongSilence(profile, at)) return QUIET;
  return {
    weight: weigh(SILENCE, true, profile.firsts.silence, profile.visits),
    why: () => `nothing for ${duration(at - profile.lastAt)}`,
  };
}
