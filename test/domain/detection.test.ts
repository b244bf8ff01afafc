import t from 'tap';
import type { Alarm } from '../../src/domain/alarms.js';
import { createAlarms } from '../../src/domain/alarms.js';
import type { Policy } from '../../src/domain/anomalies/policy.js';
import type { Profile } from '../../src/domain/anomalies/profile.js';
import { createDetection } from '../../src/domain/detection.js';
import { Refusal } from '../../src/domain/errors.js';
import type { AuditEvent, Instant, SessionId, UserId } from '../../src/domain/types.js';
import { createUses, type Use } from '../../src/domain/uses.js';
import type { DetectionStore, Flags, StoredProfile, Suspect } from '../../src/ports/detection-store.js';
import { countNothing } from '../../src/ports/metrics.js';
import { DAY, HOUR, LAST, profileOf, sessionOf, settled, USER } from '../support/activities.js';
import { fakeClock } from '../support/clock.js';
import { CURL, FAR, FIREFOX, HOME, NEXT_DOOR, twoPlaces } from '../support/detection.js';

const MINUTE = 60;
const OTHER = '01900000-0000-7000-8000-0000000000ff' as UserId;

/** Everything real but the stores. */
function detecting({ policy = 'flag', maxWaiting = 100 }: { policy?: Policy; maxWaiting?: number } = {}) {
  const clock = fakeClock(LAST + HOUR);
  const profiles = new Map<UserId, StoredProfile>([[USER, { profile: settled, version: '1' }]]);
  const sessions = new Map<string, Suspect>();
  const over = new Map<string, string>();
  const events: AuditEvent[] = [];
  const alarms: Alarm[] = [];
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
    async flag(seen, flags, audit) {
      meanwhile.flag();
      const row = suspectOf(seen.sessionId, seen.userId);
      if (row.flaggedAt !== seen.flaggedAt || over.has(seen.sessionId)) return false;
      sessions.set(seen.sessionId, { ...row, flags, flaggedAt: audit.at });
      events.push(audit);
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
    counted,
    meanwhile,
    observe,
    seen,
    profile,
    located: () => located,
  };
}

const thief = { userAgent: CURL };
const namesOf = (events: readonly AuditEvent[]) => events.map(({ event }) => event);

t.test('what says nothing new is not queued, until the hour is over', async (t) => {
  const { observe, counted, clock, located } = detecting();
  for (let i = 0; i < 10; i++) observe(HOME);
  t.equal(counted.waiting, 1);
  t.equal(located(), 1, 'nor is it looked up');
  observe(HOME, { userAgent: CURL });
  observe(FAR, { userAgent: CURL });
  observe(HOME, { sessionId: sessionOf(2) });
  observe(HOME, { shape: 'another' });
  t.equal(counted.waiting, 5, 'another client, place, session or shape is new');
  observe(NEXT_DOOR, { shape: 'another' });
  t.equal(counted.waiting, 5, 'another address of the same network is not');
  for (let i = 0; i < 3; i++) {
    observe(HOME, { kind: 'check', sessionId: sessionOf(3) });
    observe(HOME, { shape: 'a', sessionId: sessionOf(3) });
  }
  t.equal(counted.waiting, 7, 'nor is a check between two refreshes');
  clock.advance(3600);
  observe(HOME, { shape: 'another' });
  t.equal(counted.waiting, 8);
});

t.test('private addresses and those of no known place are not queued', async (t) => {
  const { observe, counted } = detecting();
  for (const [i, ip] of [
    null,
    '10.0.0.1',
    '127.0.0.1',
    'fe80::1',
    '::ffff:192.168.1.1',
    'unknown',
    '20.9.9.9',
  ].entries())
    observe(ip, { sessionId: sessionOf(i) });
  t.equal(counted.waiting, 0);
  t.equal(counted.dropped, 0);
});

t.test('a full queue drops the newest and counts it, and takes it when there is room', async (t) => {
  const { detection, observe, counted } = detecting({ maxWaiting: 2 });
  for (const n of [1, 2, 3]) observe(HOME, { sessionId: sessionOf(n) });
  t.strictSame([counted.waiting, counted.dropped], [2, 1]);
  await detection.run();
  observe(HOME, { sessionId: sessionOf(3) });
  t.equal(counted.waiting, 1);
});

t.test('whoever observes is never told of a failure', async (t) => {
  const { observe, counted } = detecting();
  observe(HOME, {
    caller() {
      throw new Error('damaged');
    },
  });
  t.equal(counted.dropped, 1);
});

const done: Record<Policy, string[]> = {
  observe: [],
  flag: ['session.flagged'],
  step_up: ['session.flagged'],
  revoke: ['session.revoked_by_detection'],
};
for (const [policy, names] of Object.entries(done) as [Policy, string[]][]) {
  t.test(`with the policy ${policy} a theft leads to ${names.join() || 'a line in the log'}`, async (t) => {
    const { seen, clock, events, alarms, counted, over, profile } = detecting({ policy });
    await seen(HOME);
    t.strictSame([alarms, events], [[], []], 'the user is let alone');
    clock.advance(10 * MINUTE);
    await seen(FAR, thief);
    t.strictSame(namesOf(events), names);
    t.match(alarms, [{ action: policy, userId: USER, sessionId: sessionOf(1), clientId: 'default' }]);
    t.strictSame(counted.acted, [policy]);
    const whys = alarms[0]?.findings.map(({ why }) => why).join('; ') ?? '';
    t.match(whys, /Berlin to Sydney, 16,000 km, in 10 min/);
    t.equal(over.get(sessionOf(1)), policy === 'revoke' ? 'anomaly' : undefined);
    const knowsSydney = profile().countries.some(({ name }) => name === 'AU');
    t.equal(knowsSydney, policy !== 'revoke', 'the habits of a thief who is thrown out are not the user’s');
    for (const event of events)
      t.match(event, {
        actor: 'service',
        userId: USER,
        sessionId: sessionOf(1),
        clientId: 'default',
        ip: FAR,
        place: 'here',
        bySessionId: null,
        details: { action: policy, findings: [{ signal: String, weight: Number, why: String }] },
      });
  });
}

t.test('a thief in another session is named by what the user does at home', async (t) => {
  const { seen, clock, events, over, profile } = detecting({ policy: 'revoke' });
  const stolen = { sessionId: sessionOf(2), kind: 'login' as const, userAgent: 'Firefox on Windows' };
  await seen(FAR, stolen);
  t.notOk(over.has(sessionOf(2)), 'a trip, so far');
  clock.advance(30 * MINUTE);
  await seen(HOME, { userAgent: CURL });
  t.equal(over.get(sessionOf(2)), 'anomaly');
  t.notOk(over.has(sessionOf(1)));
  t.match(events.at(-1), { sessionId: sessionOf(2), details: { noticed_by: sessionOf(1) } });
  t.notOk(profile().sessions.some(({ session }) => session === sessionOf(2)));
  const told = events.length;
  clock.advance(HOUR / 1000);
  await seen(HOME);
  t.equal(events.length, told, 'and with the other session over nothing is odd about the user');
});

t.test('a session is flagged once a day for one thing, and again for more', async (t) => {
  const { seen, clock, events, sessions, observe, detection } = detecting({ policy: 'step_up' });
  const FLAGGED = 'session.flagged';
  await seen(HOME);
  clock.advance(10 * MINUTE);
  await seen(FAR, thief);
  t.strictSame(namesOf(events), [FLAGGED]);
  const { flags, flaggedAt } = sessions.get(sessionOf(1)) ?? {};
  t.equal(flags?.action, 'step_up');
  t.ok((flags?.findings.length ?? 0) > 1);
  // Both go on, in turns.
  for (let i = 0; i < 6; i++) {
    clock.advance(5 * MINUTE);
    observe(i % 2 === 0 ? HOME : FAR, i % 2 === 0 ? {} : thief);
  }
  await detection.run();
  t.ok(events.length <= 2, 'what is the same is not told again');
  t.ok(Number(sessions.get(sessionOf(1))?.flaggedAt) >= Number(flaggedAt));
});

t.test('a stronger action is taken within the day, and a weaker one is not told', async (t) => {
  const { seen, clock, sessions, events, over } = detecting({ policy: 'revoke' });
  const findings = [{ signal: 'changed_device', why: 'x' }] satisfies Flags['findings'];
  const row = { sessionId: sessionOf(1), userId: USER, clientId: 'default', policy: 'revoke' as const };
  sessions.set(sessionOf(1), { ...row, flaggedAt: clock.now(), flags: { action: 'flag', findings } });
  await seen(HOME);
  clock.advance(10 * MINUTE);
  await seen(FAR, thief);
  t.equal(over.get(sessionOf(1)), 'anomaly');
  t.strictSame(namesOf(events), ['session.revoked_by_detection']);
});

t.test('flags of yesterday are replaced, those of today are kept beside new ones', async (t) => {
  for (const [age, kept] of [
    [HOUR, true],
    [DAY, false],
  ] as const) {
    const { seen, clock, sessions } = detecting();
    const flags: Flags = { action: 'flag', findings: [{ signal: 'long_silence', why: 'nothing for 31 d' }] };
    const flaggedAt = (clock.now() + 10 * MINUTE * 1000 - age) as Instant;
    sessions.set(sessionOf(1), {
      sessionId: sessionOf(1),
      userId: USER,
      clientId: 'default',
      policy: 'flag',
      flaggedAt,
      flags,
    });
    await seen(HOME);
    clock.advance(10 * MINUTE);
    await seen(FAR, thief);
    const signals = sessions.get(sessionOf(1))?.flags?.findings.map(({ signal }) => signal) ?? [];
    t.equal(signals.includes('long_silence'), kept);
    t.ok(signals.includes('new_continent'));
  }
});

t.test('a profile that another node has changed meanwhile is read and scored again', async (t) => {
  const { seen, meanwhile, profiles, profile, clock, alarms, events } = detecting();
  let times = 0;
  meanwhile.keep = () => {
    if (times++ > 0) return;
    const before = profiles.get(USER);
    profiles.set(USER, { profile: profileOf([], before?.profile ?? null), version: '7' });
  };
  clock.advance(10 * MINUTE);
  await seen(FAR, thief);
  t.equal(times, 2);
  t.equal(profiles.get(USER)?.version, '8');
  t.ok(profile().countries.some(({ name }) => name === 'AU'));
  t.strictSame([alarms.length, events.length], [1, 1], 'and it is told once');
});

t.test('two nodes that flag one session at once leave one event', async (t) => {
  const { seen, meanwhile, sessions, clock, events, alarms } = detecting();
  meanwhile.flag = () => {
    meanwhile.flag = () => {};
    const flags: Flags = {
      action: 'flag',
      findings: ['changed_device', 'new_continent'].map((signal) => ({ signal, why: 'x' })) as Flags['findings'],
    };
    sessions.set(sessionOf(1), {
      sessionId: sessionOf(1),
      userId: USER,
      clientId: 'default',
      policy: 'flag',
      flaggedAt: clock.now(),
      flags,
    });
  };
  clock.advance(10 * MINUTE);
  await seen(FAR, thief);
  t.strictSame([events, alarms], [[], []], 'that of the other one');
});

t.test('uses of many users are judged together, in the order in which they happened', async (t) => {
  const { observe, detection, profiles, clock, counted } = detecting();
  observe(HOME, { userId: OTHER, sessionId: sessionOf(9), kind: 'login' });
  clock.advance(HOUR / 1000);
  observe(HOME);
  observe(HOME, { userId: OTHER, sessionId: sessionOf(9) });
  await detection.run();
  t.equal(profiles.get(OTHER)?.profile.lastAt, clock.now());
  t.equal(profiles.get(USER)?.version, '2');
  t.equal(counted.waiting, 0);
});

t.test('a user who is gone is given up', async (t) => {
  const { seen, store, counted } = detecting();
  store.keep = async () => new Set();
  await seen(HOME);
  t.equal(counted.dropped, 1);
});

t.test('without the database uses are dropped and counted, and the next ones are judged', async (t) => {
  const { observe, detection, store, counted, clock, profiles } = detecting();
  const { profiles: load } = store;
  store.profiles = async () => {
    throw new Refusal('store_unavailable');
  };
  observe(HOME);
  await t.rejects(detection.run(), { code: 'store_unavailable' });
  t.equal(counted.dropped, 1);
  store.profiles = load;
  clock.advance(3600);
  observe(HOME);
  await detection.run();
  t.equal(profiles.get(USER)?.version, '2');
});
