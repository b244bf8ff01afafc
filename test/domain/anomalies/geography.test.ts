import t from 'tap';
import { isPublic, networkOf } from '../../../src/domain/anomalies/activity.js';
import { distanceKm, leastKm } from '../../../src/domain/anomalies/geography.js';
import { duration, placeName } from '../../../src/domain/anomalies/words.js';

const point = (lat: number, lon: number, radiusKm = 0) => ({ lat, lon, radiusKm });

t.test('distances are those of the globe, also over the antimeridian, the poles and to the other side', async (t) => {
  // A degree of latitude is 111.195 km on a sphere of the mean radius.
  const rows: [string, ReturnType<typeof point>, ReturnType<typeof point>, number][] = [
    ['Berlin to Sydney', point(52.52, 13.41), point(-33.87, 151.21), 16_094],
    ['over the antimeridian, in Fiji', point(-17, 179.5), point(-17, -179.5), 106],
    ['the same meridian, named twice', point(10, 180), point(10, -180), 0],
    ['over the North Pole', point(89, 0), point(89, 180), 222],
    ['at the South Pole, where all longitudes meet', point(-90, 0), point(-90, 123), 0],
    ['to the other side of the globe', point(0, 0), point(0, 180), 20_015],
    ['nowhere', point(52.52, 13.41), point(52.52, 13.41), 0],
  ];
  for (const [name, a, b, km] of rows) {
    t.equal(Math.round(distanceKm(a, b)), km, name);
    t.equal(Math.round(distanceKm(b, a)), km, `${name}, and back`);
  }
});

t.test('places are no further from each other than their radii leave room for', async (t) => {
  t.equal(Math.round(leastKm(point(0, 0, 100), point(0, 10, 200))), 1112 - 300);
  t.equal(leastKm(point(0, 0, 1000), point(0, 10, 200)), 0);
});

t.test('addresses that are private, reserved or none have no network and no place', async (t) => {
  for (const ip of [
    null,
    '',
    'unknown',
    '10.1.2.3',
    '127.0.0.1',
    '169.254.0.1',
    '100.64.0.1',
    '192.0.2.1',
    '0.0.0.0',
    '255.255.255.255',
    '::1',
    'fe80::1',
    'fd00::1',
    '2001:db8::1',
    '::ffff:192.168.0.1',
  ]) {
    t.notOk(isPublic(ip), String(ip));
    t.equal(networkOf(ip, 3320), null, String(ip));
  }
});

t.test('a network is the autonomous system, else the /16 or the /48, and has one spelling', async (t) => {
  const rows: [string, number | null, string][] = [
    ['20.1.2.3', 3320, 'AS3320'],
    ['20.1.2.3', null, '20.1.0.0/16'],
    ['::ffff:20.1.2.3', null, '20.1.0.0/16'],
    ['::ffff:1401:203', null, '20.1.0.0/16'],
    ['2a00:1450:4001:82b::200e', null, '2a00:1450:4001::/48'],
    ['2A00:1450:4001:0000:0000:0000:0000:0001', null, '2a00:1450:4001::/48'],
  ];
  for (const [ip, asn, network] of rows) t.equal(networkOf(ip, asn), network, ip);
});

t.test('a person reads times and places', async (t) => {
  const rows: [number, string][] = [
    [0, 'no time'],
    [400, 'no time'],
    [25_000, '25 s'],
    [40 * 60_000 + 59_000, '40 min'],
    [3_600_000, '1 h'],
    [7_800_000, '2 h 10 min'],
    [90_000_000, '1 d 1 h'],
    [31 * 86_400_000, '31 d'],
  ];
  for (const [ms, words] of rows) t.equal(duration(ms), words);
  const coordinates = null;
  t.equal(placeName({ country: 'DE', continent: 'EU', city: 'Berlin', coordinates }), 'Berlin');
  t.equal(placeName({ country: 'DE', continent: 'EU', city: null, coordinates }), 'Germany');
  t.equal(placeName({ country: 'nowhere', continent: null, city: null, coordinates }), 'nowhere');
});
