import t from 'tap';
import type { Activity } from '../../../src/domain/anomalies/activity.js';
import { score } from '../../../src/domain/anomalies/score.js';
import {
  after,
  BERLIN,
  DAY,
  days,
  HOUR,
  LAST,
  MUNICH,
  PARIS,
  POTSDAM,
  place,
  profileOf,
  SYDNEY,
  sessionOf,
  settled,
  signals,
  use,
  whyOf,
} from '../../support/activities.js';

t.test('of what is new about a place the most general is told, and in words', async (t) => {
  const elsewhere = { network: 'AS1221', sessionId: sessionOf(1) };
  // Two days later any place can be reached.
  const rows: [string, Partial<Activity>, string[], RegExp][] = [
    ['at home', {}, [], /^$/],
    ['next door', { place: POTSDAM }, [], /^$/],
    ['another network at home', { network: 'AS1' }, ['new_network'], /^AS1 in Berlin, of 1 networks before$/],
    [
      'another city',
      { ...elsewhere, place: MUNICH },
      ['new_area'],
      /^Munich, 460 km from where the user was ever seen$/,
    ],
    ['another country', { ...elsewhere, place: PARIS }, ['new_country'], /^France, before only Germany$/],
    [
      'another continent',
      { ...elsewhere, place: SYDNEY },
      ['new_continent'],
      /^Oceania \(Sydney\), before only Europe$/,
    ],
  ];
  for (const [name, changes, expected, why] of rows) {
    const verdict = after(38, changes);
    t.strictSame(signals(verdict), expected, name);
    t.match(whyOf(verdict, expected[0] ?? ''), why, name);
  }
});

t.test('the more general what is new, the more it weighs; and home speaks for the user', async (t) => {
  const scores = [{}, { network: 'AS1' }, { network: 'AS1', place: MUNICH }, { place: PARIS }, { place: SYDNEY }].map(
    (changes) => after(38, changes).score,
  );
  t.strictSame(
    scores,
    [...scores].sort((a, b) => a - b),
  );
  t.ok((scores[0] ?? 0) < -1, 'at home');
});

t.test('a place is new once: who stays there is at home before long', async (t) => {
  const first = after(38, { place: PARIS, network: 'AS5' });
  const second = score(first.profile, use(LAST + 39 * HOUR, { place: PARIS, network: 'AS5' }));
  t.strictSame(signals(second), []);
  t.ok(second.score < first.score - 1);
});

t.test('who often goes to new countries is believed sooner', async (t) => {
  const countries = ['FR', 'IT', 'ES', 'PT', 'GR', 'AT'];
  let traveller = settled;
  for (const [i, country] of countries.entries()) {
    const there = { place: { ...PARIS, country, coordinates: null }, network: `AS${country}` };
    traveller = profileOf([use(LAST + (2 + i) * DAY, there)], traveller);
  }
  const weight = (profile: typeof settled) =>
    score(profile, use(LAST + 12 * DAY, { place: { ...PARIS, country: 'NO', coordinates: null } })).findings[0]?.weight;
  t.ok((weight(traveller) ?? 0) < (weight(settled) ?? 0) - 0.9);
});

t.test('travel is impossible over 900 km/h, however the clock runs', async (t) => {
  const km = 16_095 - 40;
  const hoursAt = (kmh: number) => km / kmh;
  const rows: [string, number, string[]][] = [
    ['at an airliner’s pace', hoursAt(890), ['new_continent']],
    ['faster', hoursAt(910), ['impossible_travel', 'new_continent']],
    ['in an hour', 1, ['new_continent', 'session_in_two_places']],
    ['at the same moment', 0, ['new_continent', 'session_in_two_places']],
    ['with a clock that is an hour behind', -1, ['new_continent', 'session_in_two_places']],
  ];
  for (const [name, hours, expected] of rows) {
    const found = signals(after(hours, { place: SYDNEY, network: 'AS1221' })).filter(
      (signal) => signal !== 'unusual_hour',
    );
    t.strictSame(found, expected, name);
  }
});

t.test('impossible travel is told in distance, time and speed', async (t) => {
  const why = (hours: number) => whyOf(after(hours, { place: SYDNEY, sessionId: sessionOf(2) }), 'impossible_travel');
  t.equal(why(2 + 1 / 6), 'Berlin to Sydney, 16,000 km, in 2 h 10 min: 7,400 km/h');
  t.equal(why(0), 'Berlin to Sydney, 16,000 km, at the same moment');
});

t.test('places that are near, or not known well enough, are no journey', async (t) => {
  const vague = { ...MUNICH, coordinates: { lat: 48.14, lon: 11.58, radiusKm: 480 } };
  const rows: [string, Partial<Activity>][] = [
    ['next door', { place: POTSDAM }],
    ['somewhere within half a country', { place: vague }],
    ['a country without coordinates', { place: { ...SYDNEY, coordinates: null } }],
    ['over the antimeridian', { place: place('Taveuni', 'FJ', 'OC', -16.9, -179.9) }],
  ];
  const fiji = profileOf(days(30, { place: place('Labasa', 'FJ', 'OC', -16.4, 179.4) }));
  for (const [name, changes] of rows) {
    const found = signals(after(0.01, changes, name.includes('antimeridian') ? fiji : settled));
    t.notOk(found.includes('session_in_two_places'), name);
    t.notOk(found.includes('impossible_travel'), name);
  }
});

t.test('coordinates that are none are taken for unknown', async (t) => {
  const broken = [
    { lat: Number.NaN },
    { lat: 91 },
    { lon: -180.5 },
    { lon: Number.POSITIVE_INFINITY },
    { radiusKm: -1 },
  ];
  for (const wrong of broken) {
    const coordinates = { lat: 48.14, lon: 11.58, radiusKm: 20, ...wrong };
    const verdict = after(0.1, { place: { ...MUNICH, coordinates } });
    t.strictSame(signals(verdict), [], JSON.stringify(wrong));
    t.ok(Number.isFinite(verdict.score));
    t.strictSame(verdict.profile.areas, settled.areas);
  }
});

t.test('who appears in two cities of a carrier or a VPN all the time is not suspected for it', async (t) => {
  let profile = settled;
  for (let i = 0; i < 20; i++) {
    const there = { place: SYDNEY, network: 'AS1221' };
    profile = profileOf([use(LAST + i * DAY, there), use(LAST + i * DAY + HOUR / 2)], profile);
  }
  const verdict = score(profile, use(LAST + 20 * DAY, { place: SYDNEY, network: 'AS1221' }));
  t.ok(verdict.score < 1, String(verdict.score));
});

t.test('a thief is given away by the user at home, on another device, within a day', async (t) => {
  const phone = { sessionId: sessionOf(2), device: 'Safari on iOS' };
  const both = profileOf([use(LAST + HOUR, phone)], settled);
  // By the next evening anybody can be in Sydney.
  const stolen = score(both, use(LAST + 24 * HOUR, { place: SYDNEY, network: 'AS1221' }));
  t.notOk(signals(stolen).includes('impossible_travel'));
  const atHome = score(stolen.profile, use(LAST + 26 * HOUR, phone));
  t.ok(signals(atHome).includes('user_elsewhere'));
  t.equal(atHome.suspect, sessionOf(1), 'the session in Sydney');
  t.ok(atHome.score > 3);
  // At home on another device, or with another client, may be the thief, and in Sydney the user.
  const others: Partial<Activity>[] = [
    { ...phone, device: 'curl' },
    { sessionId: sessionOf(3), kind: 'login', device: 'curl' },
  ];
  for (const other of others) {
    const verdict = score(stolen.profile, use(LAST + 26 * HOUR, { ...phone, ...other }));
    t.notOk(signals(verdict).includes('user_elsewhere'));
    t.not(verdict.suspect, sessionOf(1), 'whoever is that accuses nobody');
    t.ok(signals(verdict).includes(other.kind === 'login' ? 'new_device' : 'changed_device'));
  }
  const muchLater = score(stolen.profile, use(LAST + 49 * HOUR, phone));
  t.notOk(signals(muchLater).includes('user_elsewhere'));
});

t.test('addresses that are private, reserved or unknown are never anomalies', async (t) => {
  for (const changes of [
    { ip: '10.0.0.1', place: SYDNEY, network: 'AS1' },
    { ip: '::ffff:192.168.1.1', place: SYDNEY, network: 'AS1' },
    { ip: null, place: null, network: null },
    { ip: 'unknown', place: SYDNEY, network: null },
    { place: null, network: 'AS1' },
  ]) {
    const verdict = after(0.5, changes);
    t.strictSame(signals(verdict), [], JSON.stringify(changes));
    t.strictSame(verdict.profile.networks, settled.networks, 'and are not learned');
  }
  const inside = profileOf(days(30, { ip: '10.0.0.1', place: null, network: null }));
  t.strictSame(signals(score(inside, use(LAST + 38 * HOUR, { place: BERLIN }))), [], 'nor is the first that is known');
});
