/** What is done about a score that speaks against a session: as much as the policy of its client allows. */
import type { Clock } from '../ports/clock.js';
import type { DetectionStore, Flags, Suspect } from '../ports/detection-store.js';
import type { Metrics } from '../ports/metrics.js';
import type { SessionStore } from '../ports/session-store.js';
import { actionFor, type Policy, policies } from './anomalies/policy.js';
import type { Finding, Verdict } from './anomalies/score.js';
import { auditEvent } from './audit.js';
import type { Revocations } from './revocations.js';
import type { AuditEvent, Instant, SessionId, UserId } from './types.js';
import type { Waiting } from './uses.js';

/** For the log; all of it may be read by people. */
export interface Alarm {
  action: Policy;
  userId: UserId;
  sessionId: SessionId;
  clientId: string;
  score: number;
  findings: Finding[];
}

/** `over`: the session has ended, by this or before. Null where nothing is to be told: it is known already. */
export interface Raised {
  alarm: Alarm | null;
  over: boolean;
}

/** A session is not flagged again within so long for what it is flagged for. */
const EPISODE_MS = 86_400_000;
/** What is kept at the session of findings. There are no more signals than that. */
const MAX_FINDINGS = 13;
const MAX_WHY_LENGTH = 200;
/** How often somebody looks again who finds the session flagged under him. */
const MAX_ATTEMPTS = 3;

const rank = (policy: Policy): number => policies.indexOf(policy);

/** Whether there is more to be said than the flags of today say. */
export function isNews(
  { flaggedAt, flags }: Suspect,
  action: Policy,
  findings: readonly Finding[],
  at: Instant,
): boolean {
  if (flaggedAt === null || flags === null || at - flaggedAt >= EPISODE_MS) return true;
  if (rank(action) > rank(flags.action)) return true;
  const [heaviest] = findings;
  return heaviest !== undefined && !flags.findings.some(({ signal }) => signal === heaviest.signal);
}

/** A letter that is cut in half is no text to PostgreSQL. */
const shortened = (why: string): string => why.slice(0, MAX_WHY_LENGTH).replace(/\p{Cs}$/u, '');

/** Those of before stay for the day. */
export function flagsWith(
  { flaggedAt, flags }: Suspect,
  action: Policy,
  findings: readonly Finding[],
  at: Instant,
): Flags {
  const before = flaggedAt !== null && flags !== null && at - flaggedAt < EPISODE_MS ? flags : null;
  const fresh = findings.map(({ signal, why }) => ({ signal, why: shortened(why) }));
  const kept = (before?.findings ?? []).filter((old) => !fresh.some(({ signal }) => signal === old.signal));
  const strongest = before !== null && rank(before.action) > rank(action) ? before.action : action;
  return { action: strongest, findings: [...fresh, ...kept].slice(0, MAX_FINDINGS) };
}

export interface AlarmsParts {
  store: Pick<DetectionStore, 'suspect' | 'flag'>;
  sessions: Pick<SessionStore, 'end'>;
  revocations: Pick<Revocations, 'enforce'>;
  metrics: Pick<Metrics, 'anomaly'>;
  clock: Clock;
}

export interface Alarms {
  /** Twice for the same finding does no more than once. */
  raise(verdict: Verdict, use: Waiting): Promise<Raised>;
}

export function createAlarms({ store, sessions, revocations, metrics, clock }: AlarmsParts): Alarms {
  /** With the address and the place that gave it away, though it is the service that does it. */
  function event(
    name: AuditEvent['event'],
    { score, findings }: Verdict,
    { sessionId, userId, clientId }: Suspect,
    action: Policy,
    { activity, caller: { ip, place, userAgent, requestId } }: Waiting,
    at: Instant,
  ): AuditEvent {
    // The user was seen in one session, and another one is the thief's.
    const other = activity.sessionId === sessionId ? {} : { noticed_by: activity.sessionId };
    const details = { action, score: Math.round(score * 100) / 100, findings, ...other };
    const about = { actor: 'service', userId, sessionId, clientId, details };
    return auditEvent(name, 'success', at, { ip, place, userAgent, requestId }, about);
  }

  async function revoke(verdict: Verdict, suspect: Suspect, use: Waiting, at: Instant): Promise<boolean> {
    const { sessionId, userId } = suspect;
    const told = event('session.revoked_by_detection', verdict, suspect, 'revoke', use, at);
    const ended = await sessions.end(sessionId, userId, 'anomaly', told);
    // It is stored; what cannot be published now is published by the relay.
    await revocations.enforce().catch(() => {});
    return ended;
  }

  async function flag(verdict: Verdict, suspect: Suspect, action: Policy, use: Waiting, at: Instant): Promise<boolean> {
    const flags = flagsWith(suspect, action, verdict.findings, at);
    const told = event('session.flagged', verdict, suspect, action, use, at);
    // The strongest of today may be a step-up that has been passed since: it is no reason for another.
    return store.flag(suspect, flags, action === 'step_up', told);
  }

  async function raise(verdict: Verdict, use: Waiting): Promise<Raised> {
    const { userId } = use.activity;
    const { score, findings } = verdict;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const at = clock.now();
      const suspect = await store.suspect(verdict.suspect as SessionId, userId, at);
      if (suspect === null) return { alarm: null, over: true };
      const action = actionFor(score, suspect.policy);
      if (action === null) break;
      const { sessionId, clientId } = suspect;
      const alarm: Alarm = { action, userId, sessionId, clientId, score, findings };
      if (action === 'observe') return { alarm, over: false };
      if (action === 'revoke') {
        const ended = await revoke(verdict, suspect, use, at);
        if (ended) metrics.anomaly(action);
        return { alarm: ended ? alarm : null, over: true };
      }
      if (!isNews(suspect, action, findings, at)) break;
      if (await flag(verdict, suspect, action, use, at)) {
        metrics.anomaly(action);
        return { alarm, over: false };
      }
    }
    return { alarm: null, over: false };
  }

  return { raise };
}
