import t from 'tap';
import type { Activity } from '../../../src/domain/anomalies/activity.js';
import { LEVELS } from '../../../src/domain/anomalies/policy.js';
import { score } from '../../../src/domain/anomalies/score.js';
import {
  after,
  BEGIN,
  DAY,
  days,
  HOUR,
  LAST,
  place,
  profileOf,
  sessionOf,
  settled,
  signals,
  use,
  whyOf,
} from '../../support/activities.js';

t.test('a device is new at a login, and changed within a session', async (t) => {
  const login = { kind: 'login', sessionId: sessionOf(2) } as const;
  const rows: [string, Partial<Activity>, string[]][] = [
    ['a refresh on the same device', {}, []],
    ['a refresh on another', { device: 'curl on Linux' }, ['changed_device']],
    ['on no known device', { device: null }, []],
    ['a login on a device like those before', login, []],
    ['a login on a new device', { ...login, device: 'Safari on iOS' }, ['new_device']],
    ['a login with a device token', { ...login, device: 'Safari on iOS', knownDevice: true }, []],
  ];
  for (const [name, changes, expected] of rows) t.strictSame(signals(after(12, changes)), expected, name);
  const changed = after(12, { device: 'curl on Linux' });
  t.equal(whyOf(changed, 'changed_device'), 'curl on Linux, in a session of Firefox on Windows');
});

t.test('a device token speaks for the user more than a familiar user agent', async (t) => {
  const login = { kind: 'login', sessionId: sessionOf(2) } as const;
  const [known, alike, fresh] = [{ knownDevice: true }, {}, { device: 'Safari on iOS' }].map(
    (changes) => after(12, { ...login, ...changes }).score,
  );
  t.ok((known ?? 0) < (alike ?? 0) && (alike ?? 0) < (fresh ?? 0));
});

t.test('hours are unusual by the user’s own clock', async (t) => {
  // Active from 8 to 20 UTC, which is 9 to 21 by the sun in Berlin; the last use was at 20 UTC on a Tuesday.
  const rows: [number, boolean][] = [
    [1, false],
    [6, true],
    [8, true],
    [12, false],
    [16, false],
  ];
  for (const [hours, expected] of rows)
    t.equal(signals(after(hours, {})).includes('unusual_hour'), expected, `${hours} hours later`);
  t.match(whyOf(after(7, {}), 'unusual_hour'), /^04:00 on a Wednesday in the user's usual time; 0 % of/);
});

t.test('the usual hours move along with the user’s home, not with the clock of the service', async (t) => {
  const auckland = { place: place('Auckland', 'NZ', 'OC', -36.85, 174.76) };
  const moved = profileOf(days(30, auckland));
  t.match(whyOf(after(7, auckland, moved), 'unusual_hour'), /^15:00 on a Wednesday/);
});

t.test('who is awake all day and night has no unusual hours', async (t) => {
  const always = profileOf(Array.from({ length: 24 * 30 }, (_, i) => use(BEGIN + i * HOUR)));
  for (let hour = 0; hour < 24; hour++)
    t.notOk(signals(score(always, use(BEGIN + (24 * 30 + hour) * HOUR))).includes('unusual_hour'));
});

t.test('whoever comes home after years, when all is forgotten, is a new user and no thief', async (t) => {
  for (const months of [3, 8, 12, 15, 18, 24, 60]) {
    const verdict = after(months * 30 * 24, { kind: 'login', sessionId: sessionOf(2) });
    t.ok(verdict.score < LEVELS.observe, `${months} months: ${verdict.score}`);
    t.match(verdict.profile.countries, [{ name: 'DE' }]);
  }
  const { profile } = after(60 * 30 * 24, {});
  t.equal(profile.since, profile.lastAt, 'of whom is learned for two weeks');
});

t.test('a long silence is 30 days', async (t) => {
  t.notOk(signals(after(29.9 * 24, {})).includes('long_silence'));
  const verdict = after(31 * 24, {});
  t.ok(signals(verdict).includes('long_silence'));
  t.equal(whyOf(verdict, 'long_silence'), 'nothing for 31 d');
});

t.test('the first use ever is no anomaly, and nobody is accused in the first two weeks', async (t) => {
  const first = score(null, use(BEGIN));
  t.strictSame(first.findings, []);
  t.equal(first.score, 0);
  const abroad = { place: place('Sydney', 'AU', 'OC', -33.87, 151.21), device: 'curl on Linux', network: 'AS1221' };
  const second = score(first.profile, use(BEGIN + HOUR, abroad));
  t.ok(second.findings.length >= 3, 'all is told');
  t.equal(second.score, 2);
  t.ok(score(profileOf(days(15)), use(BEGIN + 15 * DAY, abroad)).score > 5);
});

t.test('what the user no longer does is forgotten', async (t) => {
  const later = profileOf(
    Array.from({ length: 600 }, (_, day) => use(LAST + day * DAY, { network: 'AS2' })),
    settled,
  );
  t.strictSame(
    later.networks.map(({ name }) => name),
    ['AS2'],
  );
});
