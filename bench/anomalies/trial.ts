/** People use the service for weeks; now and then somebody steals a session of theirs. Who is told from whom, and when? */

import { countries } from '../../src/adapters/geo/countries.js';
import type { Activity } from '../../src/domain/anomalies/activity.js';
import type { Profile } from '../../src/domain/anomalies/profile.js';
import { isRepeat } from '../../src/domain/anomalies/repeats.js';
import { type Finding, score } from '../../src/domain/anomalies/score.js';
import { type Chance, seeded } from '../../test/support/seeded.js';
import { makePerson, type Person } from './people.js';
import { KINDS, type Kind, theft } from './thefts.js';
import { trafficOf } from './traffic.js';

/** Thefts begin after this, when something is known of everybody. */
const FIRST_WEEKS = 2;
const WEEK_MS = 7 * 86_400_000;
/** Alarms about a user that follow each other within a day are one. */
const DAY_MS = 86_400_000;
/** Less than this is asked about by nobody. */
const LEAST_SCORE = 0.5;

export interface Scored {
  user: number;
  at: number;
  score: number;
  findings: Finding[];
  activity: Activity;
}

/** The scores of a thief's uses, in their order; 0 for those that were not scored. */
export interface Theft {
  user: number;
  kind: Kind;
  scores: number[];
  /** Scores by which the user's own next uses gave the thief away, and how many minutes after the theft. */
  givenAway: { score: number; minutes: number }[];
  /** When the user had been seen last, in hours before. */
  quietHours: number;
  /** What the thief copied: the user agent, and all else that the client sends. */
  copied: { userAgent: boolean; shape: boolean };
  /** From a rented server, whether it is known as such or not. */
  hosted: boolean;
  firsts: Finding[];
}

export interface Trial {
  userWeeks: number;
  uses: number;
  /** Those that were not repeats. */
  scored: number;
  honest: Scored[];
  thefts: Theft[];
  /** Bytes of the profiles at the end. */
  bytes: number[];
  /** Microseconds that a score took, on average. */
  micros: number;
}

export interface Setup {
  seed: number;
  users: number;
  weeks: number;
  /** Countries alone are known, as with the database that is bundled, and no names of networks. */
  countriesOnly?: boolean;
  /** Repeats are scored as well. */
  repeats?: boolean;
}

/** Of each kind, as many thefts from each user. */
const THEFTS = 2;

/** A number of a text, the same each time. */
const numberOf = (text: string) => [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 65_521, 7);

/** As the service sees it without files of cities and networks: circles of countries, and ranges of addresses. */
function withCountriesOnly(activity: Activity): Activity {
  if (activity.place === null) return activity;
  const { country, continent } = activity.place;
  const [, lat = 0, lon = 0, radiusKm = 0] = countries[country] ?? [];
  // A line at home has an address from a few ranges, by the week; a phone has one of many, by the hour.
  const [ranges, ms] = activity.network?.includes('mobile') ? [8, 3_600_000] : [3, 7 * 86_400_000];
  const range = numberOf(`${activity.userId} ${activity.network} ${Math.floor(activity.at / ms)}`) % ranges;
  return {
    ...activity,
    network: `${activity.network}/${range}`,
    hosting: null,
    place: { country, continent, city: null, coordinates: { lat, lon, radiusKm } },
  };
}

/** What is left for the model of a user's or thief's uses. */
function withoutRepeats(uses: readonly Activity[], before: Map<string, Activity>): Set<Activity> {
  const left = new Set<Activity>();
  for (const use of uses) {
    const last = before.get(use.sessionId);
    if (last !== undefined && isRepeat(last, use)) continue;
    before.set(use.sessionId, use);
    left.add(use);
  }
  return left;
}

export function runTrial(setup: Setup, say: (text: string) => void): Trial {
  const { seed, users, weeks, countriesOnly = false, repeats = false } = setup;
  const trial: Trial = { userWeeks: users * weeks, uses: 0, scored: 0, honest: [], thefts: [], bytes: [], micros: 0 };
  const blurred = countriesOnly ? withCountriesOnly : (activity: Activity) => activity;
  let took = 0;
  for (let user = 0; user < users; user++) {
    // A user's life depends on the seed and the user alone, whatever becomes of the others.
    const chance = seeded(seed * 1_000_003 + user);
    const person = makePerson(chance, weeks);
    const all = trafficOf(chance, person, user, weeks * 7).map(blurred);
    const traffic = repeats ? all : [...withoutRepeats(all, new Map())];
    const begun = traffic[0]?.at;
    if (begun === undefined) continue;
    const due = instantsOf(chance, begun + FIRST_WEEKS * WEEK_MS, begun + weeks * WEEK_MS);
    let profile: Profile | null = null;
    const started = performance.now();
    for (const activity of traffic) {
      while (due[0] !== undefined && due[0] <= activity.at) {
        const at = due.shift() ?? 0;
        const begun = performance.now();
        if (profile !== null) steal({ trial, user, chance, person, profile, at, blurred, all, traffic, repeats });
        took -= performance.now() - begun;
      }
      const verdict = score(profile, activity);
      profile = verdict.profile;
      if (verdict.score >= LEAST_SCORE)
        trial.honest.push({ user, at: activity.at, score: verdict.score, findings: verdict.findings, activity });
    }
    took += performance.now() - started;
    trial.uses += all.length;
    trial.scored += traffic.length;
    trial.bytes.push(Buffer.byteLength(JSON.stringify(profile)));
    if ((user + 1) % 100 === 0) say(`${user + 1} of ${users} users`);
  }
  trial.micros = (took * 1000) / trial.scored;
  return trial;
}

function instantsOf(chance: Chance, from: number, to: number): number[] {
  return Array.from({ length: THEFTS }, () => chance.between(from, to)).sort((a, b) => a - b);
}

interface Occasion {
  trial: Trial;
  user: number;
  chance: Chance;
  person: Person;
  profile: Profile;
  at: number;
  blurred(activity: Activity): Activity;
  /** All that the user does, and what of it is scored. */
  all: readonly Activity[];
  traffic: readonly Activity[];
  repeats: boolean;
}

/** What would happen if it happened now: the user's own life goes on as if it had not. */
function steal({ trial, user, chance, person, profile, at, blurred, all, traffic, repeats }: Occasion): void {
  const lately = all.filter((activity) => activity.at <= at && activity.at > at - 14 * DAY_MS);
  const sessions = [...new Map(lately.map((activity) => [activity.sessionId, activity])).values()];
  const latest = lately.at(-1);
  if (sessions.length === 0 || latest === undefined) return;
  const victim = chance.pick(sessions);
  // The user's own copy of a stolen token is answered by the end of the session: it is no use any more.
  const meanwhile = traffic.filter((use) => use.at > at && use.at < at + DAY_MS && use.sessionId !== victim.sessionId);
  for (const kind of KINDS) {
    const stolen = theft(chance, person, victim, kind, at);
    const first = stolen?.uses[0];
    if (stolen === null || first === undefined) continue;
    const uses = stolen.uses.map(blurred);
    const scored = repeats ? new Set(uses) : withoutRepeats(uses, new Map([[victim.sessionId, victim]]));
    const thiefs = new Set(uses);
    let known: Profile = profile;
    const scores: number[] = [];
    const givenAway: Theft['givenAway'] = [];
    let firsts: Finding[] = [];
    for (const use of [...uses, ...meanwhile].sort((a, b) => a.at - b.at)) {
      const isThiefs = thiefs.has(use);
      if (isThiefs && !scored.has(use)) {
        scores.push(0);
        continue;
      }
      const verdict = score(known, use);
      known = verdict.profile;
      if (isThiefs) {
        if (scores.length === 0) firsts = verdict.findings;
        scores.push(verdict.score);
      } else if (verdict.suspect === first.sessionId) {
        givenAway.push({ score: verdict.score, minutes: (use.at - at) / 60_000 });
      }
    }
    const copied = { userAgent: first.device === victim.device, shape: first.shape === victim.shape };
    const { hosted } = stolen;
    trial.thefts.push({
      user,
      kind,
      scores,
      givenAway,
      quietHours: (at - latest.at) / 3_600_000,
      copied,
      hosted,
      firsts,
    });
  }
}

/** False alarms: episodes, since an operator is told once. */
export function episodes(honest: readonly Scored[], threshold: number): Scored[] {
  const found: Scored[] = [];
  const until = new Map<number, number>();
  for (const scored of honest) {
    if (scored.score < threshold) continue;
    if (scored.at > (until.get(scored.user) ?? 0)) found.push(scored);
    until.set(scored.user, scored.at + DAY_MS);
  }
  return found;
}
