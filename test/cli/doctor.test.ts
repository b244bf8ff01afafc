/** What `doctor` finds. Against running services and PostgreSQL it is run in test/system. */
import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeKek } from '../../src/adapters/kek-files/kek-source.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { type Check, diagnose } from '../../src/cli/checks.js';
import { instant } from '../../src/domain/types.js';
import { embeddedFolder } from '../support/databases.js';
import { temporaryFolder } from '../support/process.js';
import { freePort } from '../support/servers.js';

const found = (checks: readonly Check[], name: Check['check']) => checks.filter(({ check }) => check === name);

t.test('every wrong variable is named, and nothing else is looked at', async (t) => {
  const checks = await diagnose({ PORT: 'x', LIMIT_BLOCK: 'soon', NODE_ENV: 'production' });
  t.same(new Set(checks.map(({ check, status }) => `${check} ${status}`)), new Set(['configuration fail']));
  t.match(checks.map(({ detail }) => detail).join('; '), /PORT: .*LIMIT_BLOCK: .*ISSUER: /);
});

t.test('a folder that was never started in is well, and stays empty', async (t) => {
  const folder = temporaryFolder(t);
  const checks = await diagnose({ DATA_DIR: join(folder, 'data'), KEYS_DIR: join(folder, 'keys') });
  t.same(new Set(checks.map(({ status }) => status)), new Set(['ok']));
  t.same(readdirSync(folder), []);
});

t.test('keys that others can read, and servers that do not answer, are found at once', async (t) => {
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  const kek = makeKek(KEYS_DIR, instant(0), systemRandom);
  chmodSync(kek, 0o644);
  const nowhere = `127.0.0.1:${await freePort()}`;
  const checks = await diagnose({
    KEYS_DIR,
    DATABASE_URL: `postgresql://keyturn:hidden@${nowhere}/keyturn`,
    REDIS_URL: `redis://:hidden@${nowhere}`,
  });
  t.match(found(checks, 'configuration'), [{ status: 'ok' }]);
  t.match(found(checks, 'keks'), [{ status: 'fail', detail: /mode 0644.*chmod 600/ }]);
  t.match(found(checks, 'redis'), [{ status: 'fail', mend: /REDIS_URL/ }]);
  t.match(found(checks, 'database'), [{ status: 'fail', detail: /ECONNREFUSED/, mend: /DATABASE_URL/ }]);
  t.notMatch(JSON.stringify(checks), 'hidden', 'no secret is shown');
});

t.test('a stopped service is looked at in its folder, which stays as it is', async (t) => {
  const checks = await diagnose({ DATA_DIR: embeddedFolder(t), KEYS_DIR: join(temporaryFolder(t), 'keys') });
  t.same(
    checks.map(({ check, status }) => [check, status]),
    ['configuration', 'keks', 'redis', 'database', 'clock', 'migrations', 'signing_keys'].map((name) => [name, 'ok']),
  );
});
