import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { hasKek, makeKek, readKeks } from '../../src/adapters/kek-files/kek-source.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { toBase64url } from '../../src/domain/base64url.js';
import { openPrivateKey, sealPrivateKey } from '../../src/domain/sealing.js';
import { instant } from '../../src/domain/types.js';

const withoutModes = process.platform === 'win32' && 'this system has no file modes';
const problem = { name: 'KekProblem' };

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-keks-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function put(folder: string, file: string, content = `${toBase64url(systemRandom.bytes(32))}\n`, mode = 0o600): string {
  const path = join(folder, file);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

t.test('the newest of several KEKs seals, and all open', async (t) => {
  const folder = folderOf(t);
  put(folder, '20260301T000000Z.kek');
  const first = readKeks(folder);
  const sealing = first.newest();
  const sealed = sealPrivateKey(new Uint8Array([1, 2, 3]), 'kid', sealing, systemRandom);
  put(folder, '20250101T000000Z.kek');
  put(folder, '20260401T000000Z.kek');
  const keks = readKeks(folder);
  t.equal(keks.newest().id, '20260401T000000Z');
  for (const id of ['20250101T000000Z', '20260301T000000Z', '20260401T000000Z']) {
    t.match(keks.find(id), { id, key: Uint8Array });
    t.equal(keks.find(id)?.key.length, 32);
  }
  const old = keks.find(sealing.id);
  t.strictSame(old && [...(openPrivateKey(sealed, 'kid', old) ?? [])], [1, 2, 3]);
  t.equal(openPrivateKey(sealed, 'kid', keks.newest()), null, 'another KEK does not');
  t.equal(old && openPrivateKey(sealed, 'other', old), null, 'nor the right one for another kid');
  t.equal(keks.find('20260501T000000Z'), null);
});

t.test('a KEK that was put there later is found when it is asked for', async (t) => {
  const folder = folderOf(t);
  put(folder, 'a.kek');
  const keks = readKeks(folder);
  t.equal(keks.find('b'), null);
  put(folder, 'b.kek');
  t.equal(keks.find('b')?.id, 'b');
  const path = put(folder, 'c.kek');
  t.equal(keks.newest().id, 'c', 'and seals from then on');
  chmodSync(path, 0o644);
  put(folder, 'd.kek');
  t.equal(keks.find('d'), null, 'not while others can reach one');
  t.throws(() => keks.newest(), { ...problem, message: /chmod 600/ }, 'and nothing is sealed');
  t.equal(keks.find('b')?.id, 'b', 'but what was read is not lost');
});

t.test('a KEK whose file is gone opens what it sealed as long as the process runs, and seals no more', async (t) => {
  const folder = folderOf(t);
  const path = put(folder, 'a.kek');
  const keks = readKeks(folder);
  rmSync(path);
  t.equal(keks.find('a')?.id, 'a');
  t.throws(() => keks.newest(), problem);
  put(folder, 'b.kek');
  t.equal(keks.newest().id, 'b');
  t.equal(keks.find('a')?.id, 'a');
});

t.test('other files are no KEKs', async (t) => {
  const folder = folderOf(t);
  const path = put(folder, 'a.kek');
  put(folder, 'README.md', 'how to make one', 0o644);
  put(folder, '.a.kek.swp', 'an editor’s', 0o644);
  put(folder, '.hidden.kek', 'hidden', 0o644);
  put(folder, 'b.kek.bak', 'a copy', 0o644);
  t.equal(readKeks(folder).newest().id, 'a');
  rmSync(path);
  t.notOk(hasKek(folder));
});

t.test('without a KEK there is a word on how to make one', async (t) => {
  const folder = folderOf(t);
  for (const path of [folder, join(folder, 'absent')]) {
    t.throws(() => readKeks(path), { ...problem, message: /keyturn keys new-kek/ });
    t.notOk(hasKek(path));
  }
});

t.test('what others may read is refused, with the command that mends it', { skip: withoutModes }, async (t) => {
  for (const mode of [0o644, 0o640, 0o604, 0o620, 0o660, 0o666, 0o700, 0o777]) {
    const folder = folderOf(t);
    put(folder, 'a.kek');
    const path = put(folder, 'b.kek', undefined, mode);
    t.throws(() => readKeks(folder), { ...problem, message: `chmod 600 '${path}'` }, mode.toString(8));
  }
  for (const mode of [0o755, 0o750, 0o705, 0o701, 0o770]) {
    const folder = folderOf(t);
    put(folder, 'a.kek');
    chmodSync(folder, mode);
    t.throws(() => readKeks(folder), { ...problem, message: `chmod 700 '${folder}'` }, mode.toString(8));
    t.throws(() => makeKek(folder, instant(0), systemRandom), problem, 'nor is one put there');
  }
});

t.test('stricter modes are fine', { skip: withoutModes }, async (t) => {
  const folder = folderOf(t);
  put(folder, 'a.kek', undefined, 0o400);
  chmodSync(folder, 0o500);
  t.teardown(() => chmodSync(folder, 0o700));
  t.equal(readKeks(folder).newest().id, 'a');
});

t.test('a file that holds no key is refused, and not quoted', async (t) => {
  const key = toBase64url(systemRandom.bytes(32));
  const contents = {
    nothing: '',
    'only a line feed': '\n',
    'too short': toBase64url(systemRandom.bytes(31)),
    'too long': toBase64url(systemRandom.bytes(33)),
    padding: `${key}=`,
    'two lines': `${key}\n${key}\n`,
    hexadecimal: Buffer.from(systemRandom.bytes(32)).toString('hex'),
    blanks: `${key.slice(0, 20)} ${key.slice(20)}`,
    prose: 'this is not the key that you are looking for',
  };
  for (const [name, content] of Object.entries(contents)) {
    const folder = folderOf(t);
    put(folder, 'a.kek');
    put(folder, 'b.kek', content);
    t.throws(() => readKeks(folder), { ...problem, message: /b\.kek/ }, name);
    try {
      readKeks(folder);
    } catch (error) {
      if (content.trim() !== '') t.notMatch(String(error), content.trim());
    }
  }
});

t.test('the name of a KEK is refused where it could be taken for something else', async (t) => {
  for (const name of ['with blank.kek', `${'x'.repeat(65)}.kek`, 'ä.kek']) {
    const folder = folderOf(t);
    put(folder, name);
    t.throws(() => readKeks(folder), problem, name);
  }
});

t.test('a KEK that is made is one that can be read, and never takes the place of another', async (t) => {
  const folder = join(folderOf(t), 'new', 'keys');
  const at = instant(Date.UTC(2026, 2, 1, 12, 0, 0, 250));
  const path = makeKek(folder, at, systemRandom);
  t.equal(path, join(folder, '20260301T120000Z.kek'));
  if (!withoutModes) {
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(statSync(folder).mode & 0o777, 0o700);
  }
  const content = readFileSync(path, 'utf8');
  t.match(content, /^[A-Za-z0-9_-]{43}\n$/);
  t.throws(() => makeKek(folder, at, systemRandom), { code: 'EEXIST' });
  t.equal(readFileSync(path, 'utf8'), content);
  makeKek(folder, instant(at + 1000), systemRandom);
  t.equal(readKeks(folder).newest().id, '20260301T120001Z');
  t.equal(readdirSync(folder).length, 2);
});

t.test('a folder that is a file is no folder of KEKs', async (t) => {
  const path = put(folderOf(t), 'keys', 'x');
  t.throws(() => readKeks(path));
  t.throws(() => makeKek(path, instant(0), systemRandom));
  t.ok(existsSync(path));
});
