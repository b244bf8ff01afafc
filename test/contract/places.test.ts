import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { COUNTRY_DATABASE, openPlaces, placeIn } from '../../src/adapters/geo/places.js';
import { mmdbOf } from '../support/mmdb.js';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-places-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const nowhere = [
  ...['10.0.0.1', '172.16.0.1', '192.168.1.1', '127.0.0.1', '169.254.1.1', '100.64.0.1', '192.0.2.1', '0.0.0.0'],
  ...['::1', 'fc00::1', 'fe80::1', 'fe80::1%eth0', '2001:db8::1', '::ffff:192.168.1.1'],
  ...['', 'localhost', '8.8.8.8, 8.8.4.4', '8.8.8.256'],
];

t.test('the database that comes with the service knows countries', async (t) => {
  const { placeOf } = await openPlaces(COUNTRY_DATABASE);
  t.equal(placeOf('8.8.8.8'), 'US');
  t.equal(placeOf('193.0.6.139'), 'NL');
  t.equal(placeOf('2001:4860:4860::8888'), 'US');
  t.equal(placeOf('::ffff:8.8.8.8'), 'US', 'IPv4 in IPv6 dress is IPv4');
  for (const ip of nowhere) t.equal(placeOf(ip), null, `${ip} has no place`);
});

t.test('a database of cities names the city as well, and private addresses are in none', async (t) => {
  const path = file('city.mmdb', mmdbOf({ city: { names: { en: 'Berlin' } }, country: { iso_code: 'DE' } }));
  const { placeOf } = await openPlaces(path);
  for (const ip of ['8.8.8.8', '2001:4860:4860::8888']) t.equal(placeOf(ip), 'Berlin, DE');
  for (const ip of nowhere) t.equal(placeOf(ip), null, `${ip} has no place`);
});

t.test('records are read as their makers write them', async (t) => {
  t.equal(placeIn({ country: { iso_code: 'DE' } }), 'DE');
  t.equal(placeIn({ country_code: 'DE', city: 'Berlin' }), 'Berlin, DE');
  t.equal(placeIn({ country: 'DE', city: 'Berlin' }), 'Berlin, DE');
  t.equal(placeIn({ country: 'Germany', country_code: 'DE' }), 'DE');
  t.equal(placeIn({ country: { iso_code: 'DE' }, city: { names: {} } }), 'DE');
  t.equal(placeIn({}), null, 'what says nothing of a place is in none');
});

t.test('what is no such database is refused', async (t) => {
  const whole = mmdbOf({ country: { iso_code: 'DE' } });
  for (const [name, content] of [
    ['empty', ''],
    ['text', 'country,DE\n'.repeat(1000)],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])],
    ['cut off', whole.subarray(0, 40)],
  ] as const) {
    await t.rejects(openPlaces(file(name, content)), { message: /mmdb/ }, name);
  }
  await t.rejects(openPlaces(join(folder, 'absent')), { message: /cannot be read \(ENOENT\)/ });
  await t.rejects(openPlaces(folder), { message: /cannot be read \(EISDIR\)/ });
});

t.test('a damaged record is no place, and no failure', async (t) => {
  const damaged = mmdbOf({ country: { iso_code: 'DE' } });
  // The size of the map, which then goes on into the metadata.
  damaged[22] = (7 << 5) | 28;
  const { placeOf } = await openPlaces(file('damaged.mmdb', damaged));
  t.equal(placeOf('8.8.8.8'), null);
});
