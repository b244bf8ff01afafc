/** Uses of one invented user, for the tests of anomalies: at home in Berlin, on a laptop, by day. */
import type { Activity, Place } from '../../src/domain/anomalies/activity.js';
import type { Profile } from '../../src/domain/anomalies/profile.js';
import { score, type Verdict } from '../../src/domain/anomalies/score.js';
import { type Instant, instant, type SessionId, type UserId } from '../../src/domain/types.js';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
/** A Monday. */
export const BEGIN = Date.UTC(2026, 0, 5);
export const USER = '01900000-0000-7000-8000-000000000001' as UserId;
export const sessionOf = (n: number): SessionId =>
  `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}` as SessionId;

export function place(
  city: string,
  country: string,
  continent: string,
  lat: number,
  lon: number,
  radiusKm = 20,
): Place {
  return { city, country, continent, coordinates: { lat, lon, radiusKm } };
}
export const BERLIN = place('Berlin', 'DE', 'EU', 52.52, 13.41);
export const POTSDAM = place('Potsdam', 'DE', 'EU', 52.39, 13.06);
export const MUNICH = place('Munich', 'DE', 'EU', 48.14, 11.58);
export const PARIS = place('Paris', 'FR', 'EU', 48.86, 2.35);
export const SYDNEY = place('Sydney', 'AU', 'OC', -33.87, 151.21);

export const use = (at: number, changes: Partial<Activity> = {}): Activity => ({
  at: instant(at),
  userId: USER,
  sessionId: sessionOf(1),
  kind: 'refresh',
  ip: '20.0.0.1',
  network: 'AS3320',
  place: BERLIN,
  device: 'Firefox on Windows',
  shape: null,
  hosting: null,
  knownDevice: false,
  ...changes,
});

/** The profile after all of them, in their order. */
export function profileOf(activities: Iterable<Activity>, begin: Profile | null = null): Profile {
  let profile = begin;
  for (const activity of activities) profile = score(profile, activity).profile;
  if (profile === null) throw new Error('no activity');
  return profile;
}

/** Refreshes every half hour, from 8 to 20 o'clock UTC, of that many days. */
export function* days(count: number, changes: Partial<Activity> = {}): Generator<Activity> {
  for (let day = 0; day < count; day++)
    for (let half = 16; half <= 40; half++) yield use(BEGIN + day * DAY + (half * HOUR) / 2, changes);
}

/** When the last of `days(30)` was. */
export const LAST = BEGIN + 29 * DAY + 20 * HOUR;
export const settled: Profile = profileOf(days(30));

/** What is said of one more use, some hours after the last. */
export const after = (hours: number, changes: Partial<Activity>, profile = settled): Verdict =>
  score(profile, use(LAST + hours * HOUR, changes));

export const signals = (verdict: Verdict): string[] => verdict.findings.map(({ signal }) => signal).sort();
export const whyOf = (verdict: Verdict, signal: string): string =>
  verdict.findings.find((finding) => finding.signal === signal)?.why ?? '';
export const at = (ms: number): Instant => instant(ms);
