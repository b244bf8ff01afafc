/** What every storage must do, and what each does besides. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { fileStorage } from '../../src/client/file-storage.js';
import { type AuthStorage, memoryStorage, type WebStore, webStorage } from '../../src/client/index.js';
import { temporaryFolder } from '../support/process.js';

function fakeStore(): WebStore {
  const values = new Map<string, string>();
  return {
    getItem: (name) => values.get(name) ?? null,
    setItem: (name, value) => values.set(name, value),
    removeItem: (name) => values.delete(name),
  };
}

async function contract(t: Test, storage: AuthStorage): Promise<void> {
  t.notOk(await storage.get('a'));
  await storage.delete('a');
  await storage.set('a', '1');
  await storage.set('b', '2');
  await storage.set('a', 'three');
  t.equal(await storage.get('a'), 'three');
  await storage.delete('a');
  t.notOk(await storage.get('a'));
  t.equal(await storage.get('b'), '2');

  if (storage.lock === undefined) return;
  t.equal(await storage.lock('a', async () => 'result'), 'result');
  await t.rejects(
    storage.lock('a', () => Promise.reject(new Error('of the work'))),
    { message: 'of the work' },
  );
  t.equal(await storage.lock('a', async () => 'again'), 'again', 'a failure gives the lock back');
}

t.test('memory', (t) => contract(t, memoryStorage()));
t.test('localStorage, where there are no Web Locks', (t) => contract(t, webStorage(fakeStore())));
t.test('outside of a page webStorage says what to take in its place', async (t) => {
  t.throws(() => webStorage(), { name: 'TypeError', message: /memoryStorage/ });
});
t.test('a folder', (t) => contract(t, fileStorage(join(temporaryFolder(t), 'made', 'anew'))));

t.test('a file can be read by its owner alone, and nothing is left beside it', async (t) => {
  const folder = join(temporaryFolder(t), 'session');
  const storage = fileStorage(folder);
  await Promise.all(Array.from({ length: 20 }, (_, n) => storage.set('a', `${n}`.repeat(10_000))));
  t.same(readdirSync(folder), ['a.json']);
  t.equal(statSync(join(folder, 'a.json')).mode & 0o777, 0o600);
  t.equal(statSync(folder).mode & 0o777, 0o700);
  t.match(await storage.get('a'), /^(\d\d?)\1{9999}$/, 'one of the values, whole');
});

t.test('storages of one folder do not write into each other’s files', async (t) => {
  const folder = temporaryFolder(t);
  const storages = Array.from({ length: 8 }, () => fileStorage(folder));
  await Promise.all(storages.map((storage, n) => storage.set('a', `${n}`.repeat(100_000 * (n + 1)))));
  const value = (await storages[0]?.get('a')) ?? '';
  t.ok(/^(\d)\1*$/.test(value) && value.length === 100_000 * (Number(value[0]) + 1), 'one of the values, whole');
  t.same(readdirSync(folder), ['a.json']);
});

t.test('a value that cannot be put in its place is left nowhere else', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'a.json', 'in the way'), { recursive: true });
  await t.rejects(async () => fileStorage(folder).set('a', 'secret'), { code: 'EISDIR' });
  t.same(readdirSync(folder), ['a.json']);
});

t.test('a folder that was there is left as it is, and a file that others could read is closed to them', async (t) => {
  const folder = temporaryFolder(t);
  chmodSync(folder, 0o755);
  const path = join(folder, 'a.json');
  writeFileSync(path, 'old');
  chmodSync(path, 0o644);
  await fileStorage(folder).set('a', 'new');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(folder).mode & 0o777, 0o755);
});

t.test('processes that share a folder take turns', async (t) => {
  const folder = temporaryFolder(t);
  const log = join(folder, 'log');
  writeFileSync(log, '');
  const module = fileURLToPath(new URL('../../src/client/file-storage.js', import.meta.url));
  const script = `
    import { appendFileSync } from 'node:fs';
    import { fileStorage } from ${JSON.stringify(module)};
    const storage = fileStorage(${JSON.stringify(folder)});
    for (let n = 0; n < 20; n++) await storage.lock('a', async () => {
      appendFileSync(${JSON.stringify(log)}, 'in ' + process.pid + '\\n');
      await new Promise(setImmediate);
      appendFileSync(${JSON.stringify(log)}, 'out ' + process.pid + '\\n');
    });`;
  const children = [1, 2, 3].map(() =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' }),
  );
  for (const [code] of await Promise.all(children.map((child) => once(child, 'exit')))) t.equal(code, 0);
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  t.equal(lines.length, 120);
  const overlaps = lines.filter((line, n) => n % 2 === 0 && lines[n + 1] !== line.replace('in', 'out'));
  t.same(overlaps, []);
  t.ok(new Set(lines).size === 6, 'all three had their turns');
});

t.test('the lock of a process that died is taken over', async (t) => {
  const folder = temporaryFolder(t);
  const lock = join(folder, 'a.json.lock');
  writeFileSync(lock, '');
  const longAgo = new Date(Date.now() - 120_000);
  utimesSync(lock, longAgo, longAgo);
  t.equal(await fileStorage(folder).lock?.('a', async () => 'mine'), 'mine');
  t.same(readdirSync(folder), []);
});
