/** The detection of anomalies in memory, for its tests: everything real but the stores. */
import { type Alarm, createAlarms } from '../../src/domain/alarms.js';
import type { Policy } from '../../src/domain/anomalies/policy.js';
import type { Profile } from '../../src/domain/anomalies/profile.js';
import { createDetection } from '../../src/domain/detection.js';
import type { AuditEvent, SessionId, UserId } from '../../src/domain/types.js';
import { createUses, type Use } from '../../src/domain/uses.js';
import type { DetectionStore, StoredProfile, Suspect } from '../../src/ports/detection-store.js';
import { countNothing } from '../../src/ports/metrics.js';
import { HOUR, LAST, sessionOf, settled, USER } from './activities.js';
import { fakeClock } from './clock.js';
import { FIREFOX, twoPlaces } from './detection.js';

export function detecting({ policy = 'flag', maxWaiting = 100 }: { policy?: Policy; maxWaiting?: number } = {}) {
  const clock = fakeClock(LAST + HOUR);
  const profiles = new Map<UserId, StoredProfile>([[USER, { profile: settled, version: '1' }]]);
  const sessions = new Map<string, Suspect>();
  const over = new Map<string, string>();
  const events: AuditEvent[] = [];
  const alarms: Alarm[] = [];
  const demanded: SessionId[] = [];
  const counted = { dropped: 0, acted: [] as Policy[], waiting: 0 };
  /** What happens just before a profile or a flag is stored: another node is faster. */
  const meanwhile = { keep: () => {}, flag: () => {} };
  let located = 0;

  const suspectOf = (id: SessionId, userId: UserId): Suspect =>
    sessions.get(id) ?? { sessionId: id, userId, clientId: 'default', policy, flaggedAt: null, flags: null };
  const store: DetectionStore = {
    profiles: async (ids) => new Map([...profiles].filter(([id]) => ids.includes(id))),
    async keep(changed) {
      meanwhile.keep();
      const kept = new Set<UserId>();
      for (const { userId, profile, version } of changed) {
        if ((profiles.get(userId)?.version ?? null) !== version) continue;
        profiles.set(userId, { profile, version: String(Number(version) + 1) });
        kept.add(userId);
      }
      return kept;
    },
    suspect: async (id, userId) => (over.has(id) ? null : suspectOf(id, userId)),
    async flag(seen, flags, demandsPassword, audit) {
      meanwhile.flag();
      const row = suspectOf(seen.sessionId, seen.userId);
      if (row.flaggedAt !== seen.flaggedAt || over.has(seen.sessionId)) return false;
      sessions.set(seen.sessionId, { ...row, flags, flaggedAt: audit.at });
      events.push(audit);
      if (demandsPassword) demanded.push(seen.sessionId);
      return true;
    },
  };
  const metrics = {
    ...countNothing,
    anomaly: (action: Policy) => counted.acted.push(action),
    detectionDropped(uses: number) {
      counted.dropped += uses;
    },
    detectionQueue(uses: number) {
      counted.waiting = uses;
    },
  };
  const places = {
    locate(ip: string) {
      located++;
      return twoPlaces.locate(ip);
    },
  };
  const detection = createDetection({
    uses: createUses({ places, deviceOf: (name) => name?.split('/')[0] ?? null, metrics, clock, maxWaiting }),
    store,
    alarms: createAlarms({
      store,
      sessions: {
        async end(id, _userId, reason, audit) {
          if (over.has(id)) return false;
          over.set(id, reason);
          events.push(audit);
          return true;
        },
      },
      revocations: { enforce: async () => {} },
      metrics,
      clock,
    }),
    metrics,
    clock,
  });
  detection.onAlarm((alarm) => alarms.push(alarm));

  const observe = (ip: string | null, more: Partial<Use> = {}) =>
    detection.observe({
      kind: 'refresh',
      userId: USER,
      sessionId: sessionOf(1),
      ip,
      userAgent: 'Firefox on Windows',
      shape: null,
      knownDevice: false,
      caller: () => ({ ip, place: 'here', userAgent: FIREFOX, requestId: 'r', bySessionId: sessionOf(1) }),
      ...more,
    });
  const seen = async (ip: string | null, more: Partial<Use> = {}) => {
    observe(ip, more);
    await detection.run();
  };
  const profile = (): Profile => profiles.get(USER)?.profile ?? settled;
  return {
    detection,
    clock,
    store,
    profiles,
    sessions,
    over,
    events,
    alarms,
    demanded,
    counted,
    meanwhile,
    observe,
    seen,
    profile,
    located: () => located,
  };
}
