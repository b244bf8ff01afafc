/**
 * The detection of anomalies at work: uses are taken from the queue, scored against the profiles of their users, and acted
 * upon. No request waits for any of it, or fails by it.
 */
import type { Clock } from '../ports/clock.js';
import type { ChangedProfile, DetectionStore, StoredProfile } from '../ports/detection-store.js';
import type { Metrics } from '../ports/metrics.js';
import type { Alarm, Alarms } from './alarms.js';
import { LEVELS } from './anomalies/policy.js';
import type { Profile } from './anomalies/profile.js';
import { score } from './anomalies/score.js';
import { coalesced } from './coalesced.js';
import type { UserId } from './types.js';
import type { Use, Uses, Waiting } from './uses.js';

/** Profiles that are read and written by one statement: half a megabyte. */
const BATCH = 200;
/** How often uses are scored again whose profile another node has changed meanwhile. */
const MAX_ATTEMPTS = 5;

export interface Detection {
  /** For what has been done: it waits for nothing, and never throws. */
  observe(use: Use): void;
  /** Judges all that waits. What it could not judge is given up, and counted; it then rejects. */
  run(): Promise<void>;
  onAlarm(listener: (alarm: Alarm) => void): void;
}

/** Where it is turned off. */
export const noDetection: Detection = { observe() {}, async run() {}, onAlarm() {} };

export interface DetectionParts {
  uses: Uses;
  store: Pick<DetectionStore, 'profiles' | 'keep'>;
  alarms: Alarms;
  metrics: Pick<Metrics, 'anomaly' | 'detectionDropped' | 'detected'>;
  clock: Clock;
}

interface Judged {
  profile: Profile | null;
  /** To be told when the profile has been stored: until then they may be judged again. */
  observed: Alarm[];
}

/** Each user's in the order in which they happened. */
function byUser(uses: readonly Waiting[]): Map<UserId, Waiting[]> {
  const users = new Map<UserId, Waiting[]>();
  for (const use of [...uses].sort((a, b) => a.activity.at - b.activity.at)) {
    const { userId } = use.activity;
    users.set(userId, [...(users.get(userId) ?? []), use]);
  }
  return users;
}

const without = (profile: Profile, session: string): Profile => ({
  ...profile,
  sessions: profile.sessions.filter((trace) => trace.session !== session),
});

export function createDetection({ uses, store, alarms, metrics, clock }: DetectionParts): Detection {
  const listeners: ((alarm: Alarm) => void)[] = [];
  const tell = (alarm: Alarm) => {
    for (const listener of listeners) listener(alarm);
  };

  /** The profile after one use. */
  async function after(profile: Profile | null, use: Waiting, observed: Alarm[]): Promise<Profile | null> {
    const { activity } = use;
    const verdict = score(profile, activity);
    if (verdict.score < LEVELS.observe) return verdict.profile;
    const { alarm, over } = await alarms.raise(verdict, use);
    if (alarm?.action === 'observe') observed.push(alarm);
    else if (alarm !== null) tell(alarm);
    if (!over || profile === null) return verdict.profile;
    // A thief's habits are not the user's, nor is where he was; what the user does when a thief is found out is.
    const before = without(profile, verdict.suspect);
    return verdict.suspect === activity.sessionId ? before : after(before, use, observed);
  }

  async function judge(waiting: readonly Waiting[], begin: Profile | null): Promise<Judged> {
    const observed: Alarm[] = [];
    let profile = begin;
    for (const use of waiting) profile = await after(profile, use, observed);
    return { profile, observed };
  }

  function giveUp(given: readonly Waiting[]): void {
    if (given.length === 0) return;
    metrics.detectionDropped(given.length);
    uses.forget(given);
  }

  /** Scores what is left, and takes away those whose profile could be stored as it was read, or is of no use. */
  async function tryAll(left: Map<UserId, Waiting[]>, failures: unknown[]): Promise<void> {
    const stored: Map<UserId, StoredProfile> = await store.profiles([...left.keys()]);
    const judged = new Map<UserId, Judged>();
    const changed: ChangedProfile[] = [];
    for (const [userId, waiting] of left) {
      const before = stored.get(userId);
      // What is wrong with one user is no reason to judge no other.
      const result = await judge(waiting, before?.profile ?? null).catch((error) => void failures.push(error));
      if (result === undefined) {
        giveUp(waiting);
        left.delete(userId);
        continue;
      }
      judged.set(userId, result);
      const { profile } = result;
      const isSame = profile === null || profile === before?.profile;
      if (!isSame) changed.push({ userId, profile, version: before?.version ?? null });
    }
    const kept = changed.length === 0 ? new Set<UserId>() : await store.keep(changed, clock.now());
    const lost = new Set(changed.map(({ userId }) => userId).filter((userId) => !kept.has(userId)));
    for (const [userId, { observed }] of judged) {
      if (lost.has(userId)) continue;
      for (const alarm of observed) {
        metrics.anomaly(alarm.action);
        tell(alarm);
      }
      for (const { since } of left.get(userId) ?? []) metrics.detected((clock.monotonic() - since) / 1000);
      left.delete(userId);
    }
  }

  async function judgeAll(batch: readonly Waiting[]): Promise<void> {
    const left = byUser(batch);
    const failures: unknown[] = [];
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS && left.size > 0; attempt++) await tryAll(left, failures);
    } finally {
      // Of users who are gone; or of one who is everywhere at once; or all, where the database is away.
      giveUp([...left.values()].flat());
    }
    if (failures.length > 0) throw failures[0];
  }

  return {
    observe: uses.put,
    run: coalesced(async () => {
      for (let batch = uses.take(BATCH); batch.length > 0; batch = uses.take(BATCH)) await judgeAll(batch);
    }),
    onAlarm(listener) {
      listeners.push(listener);
    },
  };
}
