/** Databases of addresses are renewed by replacing the files, in whatever way operators do that. */
import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openPlaces } from '../../src/adapters/geo/places.js';
import { followPlaces } from '../../src/jobs/places.js';
import type { PlaceFiles } from '../../src/ports/places.js';
import { mmdbOf } from '../support/mmdb.js';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-places-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const of = (country: string) => mmdbOf({ country_code: country });
let files = 0;
async function inUse() {
  const path = join(folder, `${files++}.mmdb`);
  writeFileSync(path, of('DE'));
  return { path, places: await openPlaces({ places: path, networks: null }) };
}
const countryOf = ({ placeOf }: PlaceFiles) => placeOf('8.8.8.8');
const replaced = [{ database: 'GEOIP_DB', problem: null }];
const told = (problem: string) => [{ database: 'GEOIP_DB', problem }];
const notMmdb = told('is not a database in the mmdb format');

t.test('a file that is as it was is not read again', async (t) => {
  const { places } = await inUse();
  t.strictSame(await places.lookAgain(), []);
  t.equal(countryOf(places), 'DE');
});

t.test('a new file is in use after the next look, written over the old or put in its place', async (t) => {
  const { path, places } = await inUse();
  writeFileSync(path, of('FR'));
  t.equal(countryOf(places), 'DE', 'until then the old one');
  t.strictSame(await places.lookAgain(), replaced);
  t.equal(countryOf(places), 'FR');
  writeFileSync(`${path}.new`, of('IT'));
  renameSync(`${path}.new`, path);
  t.strictSame(await places.lookAgain(), replaced);
  t.equal(countryOf(places), 'IT');
  t.strictSame(await places.lookAgain(), []);
});

t.test('what is of no use is told once, and the old one stays in use, until there is one that is', async (t) => {
  const whole = of('FR');
  const bad: [string, (path: string) => void][] = [
    ['half of it', (path) => writeFileSync(path, whole.subarray(0, whole.length / 2))],
    ['all but its end', (path) => writeFileSync(path, whole.subarray(0, -10))],
    ['none of it', (path) => truncateSync(path, 0)],
    ['something else', (path) => writeFileSync(path, 'moved to another server'.repeat(1000))],
    [
      'a tree that is not all there',
      (path) => writeFileSync(path, mmdbOf({ country_code: 'FR' }, { node_count: 1000 })),
    ],
  ];
  for (const [name, damage] of bad) {
    const { path, places } = await inUse();
    damage(path);
    t.strictSame(await places.lookAgain(), notMmdb, name);
    t.strictSame(await places.lookAgain(), [], 'once');
    writeFileSync(path, 'and again');
    t.strictSame(await places.lookAgain(), [], 'also if it is damaged in another way');
    t.equal(countryOf(places), 'DE', 'the old one is in use');
    writeFileSync(path, whole);
    t.strictSame(await places.lookAgain(), replaced, 'then it is whole');
    t.equal(countryOf(places), 'FR');
  }
});

t.test('a file that is taken away is told once, and missed no more when it is back', async (t) => {
  const { path, places } = await inUse();
  renameSync(path, `${path}.away`);
  t.strictSame(await places.lookAgain(), told('cannot be read (ENOENT)'));
  t.strictSame(await places.lookAgain(), []);
  t.equal(countryOf(places), 'DE');
  renameSync(`${path}.away`, path);
  await places.lookAgain();
  rmSync(path);
  t.strictSame(await places.lookAgain(), told('cannot be read (ENOENT)'), 'it is news again');
});

t.test('each file is followed by itself', async (t) => {
  const [places, networks] = [join(folder, 'places.mmdb'), join(folder, 'networks.mmdb')];
  writeFileSync(places, of('DE'));
  writeFileSync(networks, mmdbOf({ autonomous_system_number: 1 }));
  const opened = await openPlaces({ places, networks });
  writeFileSync(networks, mmdbOf({ autonomous_system_number: 2 }));
  writeFileSync(places, '');
  t.strictSame(await opened.lookAgain(), [...notMmdb, { database: 'GEOIP_ASN_DB', problem: null }]);
  t.match(opened.locate('8.8.8.8'), { place: { country: 'DE' }, asn: 2 });
});

t.test('the log tells what became of them', async (t) => {
  const { path, places } = await inUse();
  const lines: unknown[][] = [];
  const enough = new Promise<void>((resolve) => {
    const write =
      (level: string) =>
      (...line: unknown[]) => {
        lines.push([level, ...line]);
        if (lines.length === 1) writeFileSync(path, of('FR'));
        if (lines.length === 2) resolve();
      };
    writeFileSync(path, '');
    const stop = followPlaces(places, { info: write('info'), warn: write('warn') }, 0.001);
    t.teardown(stop);
  });
  // The job lets a process end that has nothing else to do.
  const kept = setInterval(() => {}, 1000);
  await enough;
  clearInterval(kept);
  t.match(lines, [
    ['warn', ...notMmdb],
    ['info', { database: 'GEOIP_DB' }],
  ]);
});
