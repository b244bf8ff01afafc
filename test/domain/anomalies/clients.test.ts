import t from 'tap';
import type { Activity } from '../../../src/domain/anomalies/activity.js';
import { isRepeat } from '../../../src/domain/anomalies/repeats.js';
import { score } from '../../../src/domain/anomalies/score.js';
import { shapeOf } from '../../../src/domain/anomalies/shape.js';
import {
  after,
  DAY,
  days,
  HOUR,
  LAST,
  PARIS,
  profileOf,
  SYDNEY,
  sessionOf,
  signals,
  use,
  whyOf,
} from '../../support/activities.js';

const shape = 'own';
const known = profileOf(days(30, { shape, hosting: false }));
const next = (changes: Partial<Activity>, hours = 38, profile = known) => after(hours, changes, profile);

t.test('a client that sends other headers beside the same user agent is another', async (t) => {
  const rows: [string, Partial<Activity>, boolean][] = [
    ['the same', { shape }, false],
    ['another', { shape: 'copied' }, true],
    ['unknown', { shape: null }, false],
    ['of a login, which is another request', { shape: 'copied', kind: 'login' }, false],
    ['of a check', { shape: 'copied', kind: 'check' }, false],
    ['of another session', { shape: 'copied', sessionId: sessionOf(2) }, false],
  ];
  for (const [name, changes, expected] of rows)
    t.equal(signals(next(changes)).includes('changed_client'), expected, name);
  t.match(whyOf(next({ shape: 'copied' }), 'changed_client'), /^the same user agent, and other headers/);
});

t.test('another device is told once: that it sends other headers is no news', async (t) => {
  const verdict = next({ shape: 'copied', device: 'curl on Linux' });
  t.strictSame(signals(verdict), ['changed_device']);
  t.equal(verdict.profile.changedClients, known.changedClients);
});

t.test('a client that has two ways to refresh is known for both', async (t) => {
  const both = profileOf([use(LAST + HOUR, { shape: 'in the background' })], known);
  for (const one of [shape, 'in the background'])
    t.notOk(signals(next({ shape: one }, 38, both)).includes('changed_client'));
  const third = next({ shape: 'third' }, 38, both);
  t.ok(signals(third).includes('changed_client'));
  t.strictSame(third.profile.sessions[0]?.shapes, ['third', 'in the background'], 'and the oldest is forgotten');
});

t.test('whose client changes all the time is not suspected for it', async (t) => {
  let profile = known;
  for (let i = 0; i < 20; i++) profile = profileOf([use(LAST + i * DAY, { shape: `${i}` })], profile);
  const weight = (of: typeof known) =>
    score(of, use(LAST + 20 * DAY, { shape: 'x' })).findings.find(({ signal }) => signal === 'changed_client')?.weight;
  t.ok((weight(profile) ?? 0) < (weight(known) ?? 0) - 1);
});

t.test('a network of servers is a finding where the user never was in one, and could have come there', async (t) => {
  const abroad = { place: PARIS, network: 'AS16276', sessionId: sessionOf(1), shape };
  const [hosted, plain, unknown] = [true, false, null].map((hosting) => next({ ...abroad, hosting }));
  t.ok(signals(hosted as never).includes('hosting_network'));
  t.match(whyOf(hosted as never, 'hosting_network'), /^AS16276 is of a provider of servers or VPNs, as are \d/);
  t.notOk(signals(plain as never).includes('hosting_network'));
  t.ok((hosted?.score ?? 0) > (unknown?.score ?? 0) + 0.5 && (unknown?.score ?? 0) > (plain?.score ?? 0));
  t.notOk(signals(next({ hosting: true, shape })).includes('hosting_network'), 'at home it is none');
});

t.test('who is there faster than any airliner is on a VPN as a rule: the servers say little then', async (t) => {
  const far = { place: SYDNEY, network: 'AS16509', shape };
  const gain = (hours: number) => {
    const [hosted, plain] = [true, false].map((hosting) => next({ ...far, hosting }, hours).score);
    return (hosted ?? 0) - (plain ?? 0);
  };
  t.ok(gain(38) > 0.8, 'there was time');
  t.ok(gain(2) < 0, 'there was not');
});

t.test('who has a VPN is at home in networks of servers', async (t) => {
  let profile = known;
  for (let i = 0; i < 15; i++) {
    const exit = { network: `AS${i}`, hosting: true, shape };
    profile = profileOf([use(LAST + i * DAY, exit), use(LAST + i * DAY + HOUR, { shape })], profile);
  }
  const verdict = score(profile, use(LAST + 16 * DAY, { network: 'AS99', hosting: true, shape }));
  t.notOk(signals(verdict).includes('hosting_network'));
});

const BROWSER = {
  accept: '*/*',
  'accept-encoding': 'gzip, deflate, br, zstd',
  'accept-language': 'de-DE,de;q=0.9,en;q=0.8',
  origin: 'https://app.example',
  'sec-ch-ua': '"Chromium";v="130"',
  'sec-fetch-mode': 'cors',
};

t.test('the shape is that of the client, and not of one of its requests or versions', async (t) => {
  const same = [
    { 'sec-ch-ua': '"Chromium";v="131"' },
    { 'accept-language': 'de-AT,de;q=0.9,fr;q=0.1' },
    { 'accept-encoding': 'gzip,deflate,br,zstd' },
    { cookie: 'a=b', 'user-agent': 'another', 'cache-control': 'no-cache', 'x-request-id': '7' },
  ];
  for (const changes of same) t.equal(shapeOf({ ...BROWSER, ...changes }), shapeOf(BROWSER), JSON.stringify(changes));
  const other = [
    { 'accept-encoding': 'gzip, deflate, br' },
    { 'accept-language': 'en-US' },
    { 'sec-fetch-mode': undefined },
    { dnt: '1' },
    { 'accept-language': undefined },
  ];
  const shapes = other.map((changes) => shapeOf({ ...BROWSER, ...changes }));
  t.equal(new Set([shapeOf(BROWSER), ...shapes]).size, other.length + 1);
});

t.test('any headers have a short shape, without a word of theirs', async (t) => {
  const rows = [{}, { accept: '' }, { 'accept-language': ',;-'.repeat(1e5) }, { 'accept-encoding': ['gzip', 'br'] }];
  for (const headers of rows) t.match(shapeOf(headers), /^[\w-]{8}$/);
});

t.test('a use repeats the one before if nothing of it is new within the hour of the clock', async (t) => {
  const at = LAST + 600_000;
  const before = use(at, { shape });
  const rows: [string, Activity, boolean][] = [
    ['nothing', use(at + 900_000, { shape }), true],
    ['the hour', use(at + 3_600_000, { shape }), false],
    ['the network', use(at, { shape, network: 'AS1' }), false],
    ['the city', use(at, { shape, place: SYDNEY }), false],
    ['that the place is known', use(at, { shape, place: null }), false],
    ['the device', use(at, { shape, device: null }), false],
    ['the shape', use(at, { shape: 'x' }), false],
    ['a login', use(at, { shape, kind: 'login' }), false],
  ];
  for (const [name, now, expected] of rows) t.equal(isRepeat(before, now), expected, name);
});
