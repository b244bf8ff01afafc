/** People use the service for weeks; now and then somebody steals a session of theirs. Who is told from whom, and when? */
import type { Activity } from '../../src/domain/anomalies/activity.js';
import type { Profile } from '../../src/domain/anomalies/profile.js';
import { type Finding, score } from '../../src/domain/anomalies/score.js';
import { type Chance, seeded } from '../../test/support/seeded.js';
import { makePerson } from './people.js';
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

/** The scores of a thief's uses, in their order. */
export interface Theft {
  kind: Kind;
  scores: number[];
  /** Scores by which the user's own next uses gave the thief away, and how many minutes after the theft. */
  givenAway: { score: number; minutes: number }[];
  /** When the user had been seen last, in hours before. */
  quietHours: number;
  copied: boolean;
  firsts: Finding[];
}

export interface Trial {
  userWeeks: number;
  uses: number;
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
  /** Countries alone are known, as with the database that is bundled. */
  countriesOnly?: boolean;
}

/** Of each kind, as many thefts from each user. */
const THEFTS = 2;

export function runTrial({ seed, users, weeks, countriesOnly = false }: Setup, say: (text: string) => void): Trial {
  const trial: Trial = { userWeeks: users * weeks, uses: 0, honest: [], thefts: [], bytes: [], micros: 0 };
  let took = 0;
  for (let user = 0; user < users; user++) {
    // A user's life depends on the seed and the user alone, whatever becomes of the others.
    const chance = seeded(seed * 1_000_003 + user);
    const person = makePerson(chance, weeks);
    const blurred = (activity: Activity): Activity =>
      countriesOnly && activity.place
        ? { ...activity, place: { ...activity.place, city: null, coordinates: null } }
        : activity;
    const traffic = trafficOf(chance, person, user, weeks * 7).map(blurred);
    const begun = traffic[0]?.at;
    if (begun === undefined) continue;
    const due = instantsOf(chance, begun + FIRST_WEEKS * WEEK_MS, begun + weeks * WEEK_MS);
    let profile: Profile | null = null;
    const started = performance.now();
    for (const activity of traffic) {
      while (due[0] !== undefined && due[0] <= activity.at) {
        const at = due.shift() ?? 0;
        const begun = performance.now();
        if (profile !== null) steal(trial, chance, person, profile, at, blurred, traffic);
        took -= performance.now() - begun;
      }
      const verdict = score(profile, activity);
      profile = verdict.profile;
      if (verdict.score >= LEAST_SCORE)
        trial.honest.push({ user, at: activity.at, score: verdict.score, findings: verdict.findings, activity });
    }
    took += performance.now() - started;
    trial.uses += traffic.length;
    trial.bytes.push(Buffer.byteLength(JSON.stringify(profile)));
    if ((user + 1) % 100 === 0) say(`${user + 1} of ${users} users`);
  }
  trial.micros = (took * 1000) / trial.uses;
  return trial;
}

function instantsOf(chance: Chance, from: number, to: number): number[] {
  return Array.from({ length: THEFTS }, () => chance.between(from, to)).sort((a, b) => a - b);
}

/** What would happen if it happened now: the user's own life goes on as if it had not. */
function steal(
  trial: Trial,
  chance: Chance,
  person: Parameters<typeof theft>[1],
  profile: Profile,
  at: number,
  blurred: (activity: Activity) => Activity,
  traffic: readonly Activity[],
): void {
  const lately = traffic.filter((activity) => activity.at <= at && activity.at > at - 14 * 86_400_000);
  const sessions = [...new Map(lately.map((activity) => [activity.sessionId, activity])).values()];
  const latest = lately.at(-1);
  if (sessions.length === 0 || latest === undefined) return;
  const victim = chance.pick(sessions);
  for (const kind of KINDS) {
    const uses = theft(chance, person, victim, kind, at)?.map(blurred);
    const stolen = uses?.[0]?.sessionId;
    if (uses === undefined || stolen === undefined) continue;
    let known: Profile = profile;
    const scores: number[] = [];
    const givenAway: Theft['givenAway'] = [];
    let firsts: Finding[] = [];
    // The user's own copy of a stolen token is answered by the end of the session: it is no use any more.
    const meanwhile = traffic.filter(
      (use) => use.at > at && use.at < at + DAY_MS && use.sessionId !== victim.sessionId,
    );
    const thiefs = new Set(uses);
    for (const use of [...uses, ...meanwhile].sort((a, b) => a.at - b.at)) {
      const verdict = score(known, use);
      known = verdict.profile;
      if (thiefs.has(use)) {
        if (scores.length === 0) firsts = verdict.findings;
        scores.push(verdict.score);
      } else if (verdict.suspect === stolen) {
        givenAway.push({ score: verdict.score, minutes: (use.at - at) / 60_000 });
      }
    }
    const copied = uses[0]?.device === victim.device;
    trial.thefts.push({ kind, scores, givenAway, quietHours: (at - latest.at) / 3_600_000, copied, firsts });
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
