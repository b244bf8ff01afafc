import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openPlaces } from '../../src/adapters/geo/places.js';
import { mmdbOf } from '../support/mmdb.js';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-places-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const open = (places: string | null, networks: string | null = null) => openPlaces({ places, networks });
const opened = (record: Parameters<typeof mmdbOf>[0]) => open(file('one.mmdb', mmdbOf(record)));
const networkOf = async (record: Parameters<typeof mmdbOf>[0]) => {
  const { locate } = await open(null, file('asn.mmdb', mmdbOf(record)));
  return locate('193.0.6.139');
};

const nowhere = [
  ...['10.0.0.1', '172.16.0.1', '192.168.1.1', '127.0.0.1', '169.254.1.1', '100.64.0.1', '192.0.2.1', '0.0.0.0'],
  ...['::1', 'fc00::1', 'fe80::1', 'fe80::1%eth0', '2001:db8::1', '::ffff:192.168.1.1'],
  ...['', 'localhost', '8.8.8.8, 8.8.4.4', '8.8.8.256'],
];
/** The circle around the Netherlands. */
const NL = { lat: 52.2, lon: 5.3, radiusKm: 190 };

t.test('the database that comes with the service knows countries, and the table where they are', async (t) => {
  const { placeOf, locate } = await open(null);
  t.equal(placeOf('8.8.8.8'), 'US');
  t.equal(placeOf('193.0.6.139'), 'NL');
  t.equal(placeOf('2001:4860:4860::8888'), 'US');
  t.equal(placeOf('::ffff:8.8.8.8'), 'US', 'IPv4 in IPv6 dress is IPv4');
  const place = { country: 'NL', continent: 'EU', city: null, coordinates: NL };
  t.strictSame(locate('193.0.6.139'), { place, asn: null, hosting: null });
  for (const ip of nowhere) {
    t.equal(placeOf(ip), null, `${ip} has no place`);
    t.equal(locate(ip), null, `${ip} is not located`);
  }
});

t.test('a database of cities names the city as well, and private addresses are in none', async (t) => {
  const { placeOf, locate } = await opened({
    city: { names: { en: 'Berlin' } },
    continent: { code: 'EU' },
    country: { iso_code: 'DE' },
    location: { latitude: 52.52, longitude: 13.41, accuracy_radius: 20 },
  });
  const coordinates = { lat: 52.52, lon: 13.41, radiusKm: 20 };
  for (const ip of ['8.8.8.8', '2001:4860:4860::8888']) {
    t.equal(placeOf(ip), 'Berlin, DE');
    t.strictSame(locate(ip)?.place, { country: 'DE', continent: 'EU', city: 'Berlin', coordinates });
  }
  for (const ip of nowhere) t.equal(placeOf(ip), null, `${ip} has no place`);
});

t.test('places are read as the makers of databases write them', async (t) => {
  const berlin = { lat: 52.5, lon: 13.4, radiusKm: 50 };
  const nl = { country: 'NL', continent: 'EU', city: null, coordinates: NL };
  const rows: [string, Parameters<typeof mmdbOf>[0], string | null, unknown][] = [
    ['a country', { country: { iso_code: 'NL' } }, 'NL', nl],
    ['flat', { country_code: 'NL' }, 'NL', nl],
    ['flatter', { country: 'NL' }, 'NL', nl],
    ['with its name', { country: 'Netherlands', country_code: 'NL', continent_code: 'EU' }, 'NL', nl],
    ['a nameless city', { country: { iso_code: 'NL' }, city: { names: {} } }, 'NL', nl],
    [
      'a city, by ip-location-db',
      { country_code: 'DE', city: 'Berlin', latitude: 52.5, longitude: 13.4 },
      'Berlin, DE',
      { country: 'DE', continent: 'EU', city: 'Berlin', coordinates: berlin },
    ],
    [
      'a city, by IPinfo',
      { country: 'DE', city: 'Berlin', lat: '52.5', lng: '13.4' },
      'Berlin, DE',
      { country: 'DE', continent: 'EU', city: 'Berlin', coordinates: berlin },
    ],
    ['the middle of a country', { country_code: 'NL', latitude: 52.5, longitude: 5.75 }, 'NL', nl],
    [
      'a country that there is not',
      { country_code: 'QQ' },
      'QQ',
      { ...nl, country: 'QQ', continent: null, coordinates: null },
    ],
    ['nothing of a place', { registered: 1 }, null, null],
  ];
  for (const [name, record, words, place] of rows) {
    const { placeOf, locate } = await opened(record);
    t.equal(placeOf('8.8.8.8'), words, name);
    t.strictSame(locate('8.8.8.8')?.place ?? null, place, name);
  }
});

t.test('what makes no sense in a record is not known', async (t) => {
  const coordinates = NL;
  const nl = { country: 'NL', continent: 'EU', city: null, coordinates };
  const rows: Parameters<typeof mmdbOf>[0][] = [
    { country_code: 'NL', city: 5, continent_code: 'XX' },
    { country_code: 'NL', location: { latitude: 91, longitude: 5.5, accuracy_radius: 5 } },
    { country_code: 'NL', location: { latitude: 'north', longitude: 5.5, accuracy_radius: 5 } },
    { country_code: 'NL', location: { latitude: 52.5, longitude: 5.5, accuracy_radius: -5 } },
    { country_code: 'NL', location: 'somewhere', continent: 7 },
  ];
  for (const record of rows) t.strictSame((await opened(record)).locate('8.8.8.8')?.place, nl, JSON.stringify(record));
  for (const country of [5, 'constructor', '__proto__', 'nl', ''])
    t.equal((await opened({ country_code: country })).locate('8.8.8.8'), null, String(country));
});

t.test('names are of a length, and hold nothing that could not be stored', async (t) => {
  const nul = String.fromCharCode(0);
  const placeOf = async (city: string) => (await opened({ country: 'DE', city })).placeOf('8.8.8.8');
  t.equal(await placeOf(`Ber${nul}lin\n`), 'Berlin, DE');
  t.equal(await placeOf(nul), 'DE');
  t.equal(await placeOf('x'.repeat(250)), `${'x'.repeat(100)}, DE`);
  t.equal(await placeOf(`${'x'.repeat(99)}𐌰`), `${'x'.repeat(99)}, DE`, 'nor half of a letter');
});

t.test('a file of networks tells the number, and whether it is a hoster by the name', async (t) => {
  const rows: [Parameters<typeof mmdbOf>[0], number | null, boolean | null][] = [
    [{ autonomous_system_number: 3320, autonomous_system_organization: 'Deutsche Telekom AG' }, 3320, false],
    [{ autonomous_system_number: 16509, autonomous_system_organization: 'AMAZON-02' }, 16509, true],
    [{ autonomous_system_number: 24940, autonomous_system_organization: 'Hetzner Online GmbH' }, 24940, true],
    [{ autonomous_system_number: 13335, autonomous_system_organization: 'CLOUDFLARENET' }, 13335, false],
    [{ autonomous_system_number: 64500, autonomous_system_organization: 'Coloplast A/S' }, 64500, false],
    [{ autonomous_system_number: 3320 }, 3320, null],
    [{ asn: 'AS212238', as_name: 'Datacamp Limited' }, 212_238, true],
    [{ asn: 'unknown' }, null, null],
    [{ autonomous_system_number: -1 }, null, null],
    [{ autonomous_system_number: 1.5 }, null, null],
  ];
  for (const [record, asn, hosting] of rows) t.match(await networkOf(record), { asn, hosting }, JSON.stringify(record));
  t.match(
    (await networkOf({ autonomous_system_number: 3320 }))?.place,
    { country: 'NL' },
    'the place is of the other file',
  );
});

t.test('a network may be known where the place is not', async (t) => {
  const networks = file('networks.mmdb', mmdbOf({ autonomous_system_number: 3320 }));
  const { locate } = await open(file('none.mmdb', mmdbOf({})), networks);
  t.strictSame(locate('8.8.8.8'), { place: null, asn: 3320, hosting: null });
  t.equal(locate('10.0.0.1'), null);
});

t.test('a file of IPv4 alone says nothing of IPv6', async (t) => {
  const { placeOf } = await open(file('v4.mmdb', mmdbOf({ country_code: 'DE' }, { ip_version: 4 })));
  t.equal(placeOf('8.8.8.8'), 'DE');
  t.equal(placeOf('::ffff:8.8.8.8'), 'DE');
  t.equal(placeOf('2001:4860:4860::8888'), null);
});

t.test('what is no such database is refused, by the name of its variable', async (t) => {
  const whole = mmdbOf({ country: { iso_code: 'DE' } });
  for (const [name, content] of [
    ['empty', ''],
    ['text', 'country,DE\n'.repeat(1000)],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])],
    ['cut off', whole.subarray(0, 40)],
    ['a tree that is not all there', mmdbOf({ country_code: 'DE' }, { node_count: 1000 })],
    ['addresses of another kind', mmdbOf({ country_code: 'DE' }, { ip_version: 5 })],
  ] as const) {
    const path = file(name, content);
    await t.rejects(open(path), { message: /^GEOIP_DB: is not a database in the mmdb format$/ }, name);
    await t.rejects(open(null, path), { message: /^GEOIP_ASN_DB: is not/ }, name);
  }
  await t.rejects(open(join(folder, 'absent')), { message: /^GEOIP_DB: cannot be read \(ENOENT\)$/ });
  await t.rejects(open(null, folder), { message: /^GEOIP_ASN_DB: cannot be read \(EISDIR\)$/ });
});

t.test('a damaged record is no place, and no failure', async (t) => {
  const damaged = mmdbOf({ country: { iso_code: 'DE' } });
  // The size of the map, which then goes on into the metadata.
  damaged[22] = (7 << 5) | 28;
  const { placeOf, locate } = await open(file('damaged.mmdb', damaged));
  t.equal(placeOf('8.8.8.8'), null);
  t.equal(locate('8.8.8.8'), null);
});

t.test('whatever byte of a file is wrong, look-ups say something or nothing, and never throw', async (t) => {
  const whole = mmdbOf({
    city: { names: { en: 'Berlin' } },
    country: { iso_code: 'DE' },
    location: { latitude: 52.5 },
  });
  const path = join(folder, 'bytes.mmdb');
  let used = 0;
  for (let i = 0; i < whole.length; i++) {
    for (const wrong of [0x20, 0xff]) {
      const bytes = Buffer.from(whole);
      bytes[i] = wrong;
      writeFileSync(path, bytes);
      const places = await open(path, path).catch(() => null);
      if (places === null) continue;
      used++;
      places.placeOf('8.8.8.8');
      for (const ip of ['8.8.8.8', '2001:4860::1']) places.locate(ip);
    }
  }
  t.ok(used > 100, 'most are opened: the damage is in the data');
});
