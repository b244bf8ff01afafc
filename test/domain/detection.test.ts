import t from 'tap';
import { flagsWith, isNews } from '../../src/domain/alarms.js';
import type { Policy } from '../../src/domain/anomalies/policy.js';
import { PROFILE_VERSION, type Profile } from '../../src/domain/anomalies/profile.js';
import type { Finding, Signal } from '../../src/domain/anomalies/score.js';
import { Refusal } from '../../src/domain/errors.js';
import { type AuditEvent, type Instant, instant, type UserId } from '../../src/domain/types.js';
import type { Flags, Suspect } from '../../src/ports/detection-store.js';
import { BEGIN, DAY, HOUR, profileOf, sessionOf, USER } from '../support/activities.js';
import { detecting } from '../support/detecting.js';
import { CURL, FAR, HOME, NEXT_DOOR } from '../support/detection.js';

const MINUTE = 60;
const OTHER = '01900000-0000-7000-8000-0000000000ff' as UserId;

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
  const { seen, clock, events, over, profile, profiles } = detecting({ policy: 'revoke' });
  const stolen = { sessionId: sessionOf(2), kind: 'login' as const, userAgent: 'Firefox on Windows' };
  await seen(FAR, stolen);
  t.notOk(over.has(sessionOf(2)), 'a trip, so far');
  // A continent that is still more of a surprise, or it would be no more than a step-up.
  const news = { at: clock.now(), weight: 4.5 };
  const sessions = profile().sessions.map((trace) => (trace.session === sessionOf(2) ? { ...trace, news } : trace));
  profiles.set(USER, { profile: { ...profile(), sessions }, version: '2' });
  clock.advance(30 * MINUTE);
  await seen(HOME);
  t.equal(over.get(sessionOf(2)), 'anomaly');
  t.notOk(over.has(sessionOf(1)));
  t.match(events.at(-1), { sessionId: sessionOf(2), details: { noticed_by: sessionOf(1) } });
  t.notOk(profile().sessions.some(({ session }) => session === sessionOf(2)));
  const told = events.length;
  clock.advance(HOUR / 1000);
  await seen(HOME);
  t.equal(events.length, told, 'and with the other session over nothing is odd about the user');
});

t.test('a stranger at home ends no session of the user, who is far away', async (t) => {
  const { seen, clock, events, over, alarms } = detecting({ policy: 'revoke' });
  await seen(FAR, { sessionId: sessionOf(2), kind: 'login', userAgent: 'Firefox on Windows', knownDevice: true });
  clock.advance(30 * MINUTE);
  await seen(HOME, { userAgent: CURL });
  t.notOk(over.has(sessionOf(2)));
  t.notOk(events.some(({ sessionId }) => sessionId === sessionOf(2)));
  t.match(alarms.at(-1), { sessionId: sessionOf(1) });
});

t.test('where the suspect has ended, the use is held against what is left', async (t) => {
  const { seen, clock, events, over, profile, profiles } = detecting();
  const abroad = { sessionId: sessionOf(2), kind: 'login' as const, userAgent: 'Firefox on Windows' };
  const ended = { sessionId: sessionOf(3), kind: 'login' as const, userAgent: 'Firefox on Windows' };
  await seen(FAR, abroad);
  await seen(FAR, ended);
  const news = { at: clock.now(), weight: 3.2 };
  const sessions = profile().sessions.map((trace) => (trace.session === sessionOf(1) ? trace : { ...trace, news }));
  profiles.set(USER, { profile: { ...profile(), sessions }, version: '3' });
  over.set(sessionOf(3), 'logout');
  clock.advance(30 * MINUTE);
  await seen(HOME);
  t.match(events.at(-1), { sessionId: sessionOf(2), details: { noticed_by: sessionOf(1) } });
});

t.test('a session is flagged once for what goes on', async (t) => {
  const { clock, events, sessions, observe, detection } = detecting({ policy: 'step_up' });
  /** The user and the thief, in turns. */
  async function both(times: number) {
    for (let i = 0; i < times; i++) {
      clock.advance(5 * MINUTE);
      observe(HOME);
      clock.advance(5 * MINUTE);
      observe(FAR, thief);
      await detection.run();
    }
  }
  await both(1);
  t.strictSame(namesOf(events), ['session.flagged']);
  const { flags, flaggedAt } = sessions.get(sessionOf(1)) ?? {};
  t.equal(flags?.action, 'step_up');
  await both(3);
  t.strictSame(sessions.get(sessionOf(1)), { ...sessions.get(sessionOf(1)), flags, flaggedAt });
  t.equal(events.length, 1);
});

t.test('flags are news after a day, for a stronger action, or when something else weighs most', async (t) => {
  const at = instant(BEGIN);
  const finding = (signal: Signal): Finding => ({ signal, weight: 1, why: signal });
  const flagged = (action: Policy): Suspect => ({
    ...{ sessionId: sessionOf(1), userId: USER, clientId: 'default', policy: 'revoke', flaggedAt: at },
    flags: { action, findings: [finding('new_continent'), finding('changed_device')] },
  });
  const same = [finding('changed_device'), finding('unusual_hour')];
  const other = [finding('impossible_travel'), finding('changed_device')];
  const rows: [suspect: Suspect, action: Policy, findings: Finding[], after: number, isNews: boolean][] = [
    [{ ...flagged('flag'), flaggedAt: null, flags: null }, 'flag', same, 0, true],
    [flagged('flag'), 'flag', same, 0, false],
    [flagged('flag'), 'flag', same, DAY - 1, false],
    [flagged('flag'), 'flag', same, DAY, true],
    [flagged('flag'), 'flag', other, 0, true],
    [flagged('flag'), 'flag', [], 0, false],
    [flagged('flag'), 'step_up', same, 0, true],
    [flagged('step_up'), 'flag', same, 0, false],
    [flagged('step_up'), 'step_up', same, 0, false],
  ];
  for (const [i, [suspect, action, findings, after, expected]] of rows.entries())
    t.equal(isNews(suspect, action, findings, instant(at + after)), expected, `row ${i}`);
});

t.test('what is kept of findings at a session is bounded, and the strongest action stays for the day', async (t) => {
  const at = instant(BEGIN);
  const long: Finding = { signal: 'new_network', weight: 1, why: 'x'.repeat(10_000) };
  const before: Flags = { action: 'step_up', findings: [{ signal: 'new_continent', why: 'y' }] };
  const suspect: Suspect = {
    ...{ sessionId: sessionOf(1), userId: USER, clientId: 'default', policy: 'step_up', flaggedAt: at },
    flags: before,
  };
  const next = flagsWith(suspect, 'flag', Array<Finding>(50).fill(long), at);
  t.ok(JSON.stringify(next).length < 5_000);
  t.equal(next.action, 'step_up');
  const cut: Finding = { ...long, why: `${'x'.repeat(199)}𐌰` };
  t.equal(flagsWith(suspect, 'flag', [cut], at).findings[0]?.why, 'x'.repeat(199), 'and no letter is cut in half');
  t.equal(flagsWith(suspect, 'flag', [long], instant(at + DAY)).action, 'flag');
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

t.test('a milder flag on the day of a step-up does not ask for the password again', async (t) => {
  for (const [policy, demanded] of [
    ['flag', []],
    ['step_up', [sessionOf(1)]],
  ] as const) {
    const detector = detecting({ policy });
    const { seen, clock, sessions } = detector;
    const flags: Flags = { action: 'step_up', findings: [{ signal: 'long_silence', why: 'nothing for 31 d' }] };
    const row = { sessionId: sessionOf(1), userId: USER, clientId: 'default', policy };
    sessions.set(sessionOf(1), { ...row, flaggedAt: clock.now(), flags });
    await seen(HOME);
    clock.advance(10 * MINUTE);
    await seen(FAR, thief);
    t.equal(sessions.get(sessionOf(1))?.flags?.action, 'step_up', policy);
    t.strictSame(detector.demanded, demanded, policy);
  }
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

t.test('of a user whose profile is damaged nothing is judged, and of the others of the batch everything', async (t) => {
  const { observe, detection, profiles, clock, counted } = detecting();
  const damaged = { version: PROFILE_VERSION } as Profile;
  profiles.set(OTHER, { profile: damaged, version: '1' });
  observe(HOME, { userId: OTHER, sessionId: sessionOf(9) });
  observe(HOME);
  await t.rejects(detection.run(), TypeError);
  t.equal(profiles.get(USER)?.profile.lastAt, clock.now());
  t.equal(profiles.get(OTHER)?.profile, damaged);
  t.equal(counted.dropped, 1);
});

t.test('what is no profile is begun anew', async (t) => {
  const { seen, profiles, clock } = detecting();
  profiles.set(USER, { profile: {} as Profile, version: '1' });
  await seen(HOME);
  t.match(profiles.get(USER), { version: '2', profile: { version: PROFILE_VERSION, since: clock.now() } });
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
  clock.advance(MINUTE);
  observe(HOME);
  await detection.run();
  t.equal(profiles.get(USER)?.version, '2', 'though it says what the one said that was dropped');
});
