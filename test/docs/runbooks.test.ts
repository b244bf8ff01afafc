/** The commands of docs/runbooks, run as they are written there beside a real service. */
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { decodeProtectedHeader } from 'jose';
import t, { type Test } from 'tap';
import { connectPostgres } from '../../src/adapters/postgres/database.js';
import { postgresUrl, withoutPostgres } from '../support/databases.js';
import { eventually, KEYTURN, launchReady, temporaryFolder } from '../support/process.js';
import { execute, rowsOf } from '../support/service.js';
import { softHsm, withoutSoftHsm } from '../support/softhsm.js';

const folder = fileURLToPath(new URL('../../../docs/runbooks/', import.meta.url));
const AS_A_FUNCTION = 'keyturn() { "$NODE" "$KEYTURN" "$@"; }';
const tried = ['emergency.md', 'hsm.md', 'lost-kek.md', 'new-kek.md', 'rotate.md'];

/** The commands of a runbook; those in a list are indented. */
function commandsOf(file: string): string {
  const text = readFileSync(join(folder, file), 'utf8');
  return [...text.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].map(([, block]) => block).join('\n');
}

t.test('every runbook is tried here', async (t) => {
  t.same(
    readdirSync(folder)
      .filter((file) => file !== 'README.md')
      .sort(),
    tried,
  );
});

const skip = withoutPostgres || (spawnSync('bash', ['--version']).error !== undefined && 'no bash to run them');

t.test('each runbook does what it is for', { skip }, async (t) => {
  const url = await postgresUrl(t);
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  const redis = process.env.TEST_REDIS_URL;
  const env = {
    DATABASE_URL: url,
    KEYS_DIR,
    SIGNING_ALG: 'EdDSA',
    ...(redis === undefined ? {} : { REDIS_URL: redis }),
  };
  let service = await launchReady(t, env);
  await service.register();
  const database = connectPostgres({ url, max: 2, onIdleError: () => {} });
  t.teardown(() => database.close());

  const follow = (file: string, more: NodeJS.ProcessEnv = {}) =>
    promisify(execFile)('bash', ['-euo', 'pipefail', '-c', `${AS_A_FUNCTION}\n${commandsOf(file)}`], {
      env: { PATH: process.env.PATH, NODE: process.execPath, KEYTURN, ...env, ...more },
    });
  const inState = async (...states: string[]) =>
    (await rowsOf(database, 'signing_keys')).filter(({ state }) => states.includes(String(state)));
  const signer = async () => decodeProtectedHeader((await service.login()).access_token).kid;
  const jwks = async () => {
    const { keys } = (await service.get('/.well-known/jwks.json')).body as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  };
  const signs = async (t: Test, kid: unknown) => {
    await eventually(
      async () => (await signer()) === kid,
      () => 'the service does not sign with it',
    );
    t.ok((await jwks()).includes(String(kid)), 'it is published');
  };

  await t.test('rotate.md', async (t) => {
    await eventually(
      async () => (await inState('pending')).length === 1,
      () => 'no key is pending',
    );
    const old = String(await signer());
    const [next] = await inState('pending');
    await execute(database, `UPDATE signing_keys SET published_at = published_at - interval '11 minutes'`);
    t.match((await follow('rotate.md')).stdout, /^done, /m);
    await signs(t, next?.kid);
    t.ok((await jwks()).includes(old), 'and so is the one before');
  });

  await t.test('emergency.md', async (t) => {
    const { access_token: token } = await service.login();
    const leaked = String(decodeProtectedHeader(token).kid);
    const [next] = await inState('pending');
    await follow('emergency.md');
    await signs(t, next?.kid);
    t.notOk((await jwks()).includes(leaked));
    t.match(await service.get('/v1/me', token), { status: 401, body: { code: 'unknown_key' } });
  });

  await t.test('new-kek.md', async (t) => {
    const before = readdirSync(KEYS_DIR);
    const kid = await signer();
    await follow('new-kek.md');
    const after = readdirSync(KEYS_DIR);
    t.equal(after.length, 1);
    t.notSame(after, before);
    const keks = (await inState('active', 'pending')).map(({ kek_id: id }) => `${id}.kek`);
    t.same(new Set(keks), new Set(after));
    await service.stop();
    service = await launchReady(t, env);
    await signs(t, kid);
    await service.stop();
  });

  await t.test('lost-kek.md', async (t) => {
    const lost = (await inState('active', 'pending')).map(({ kid }) => kid);
    for (const file of readdirSync(KEYS_DIR)) rmSync(join(KEYS_DIR, file));
    await follow('lost-kek.md');
    const now = await inState('active', 'pending');
    t.same(now.map(({ state }) => state).sort(), ['active', 'pending']);
    t.notOk(now.some(({ kid }) => lost.includes(kid)));
    service = await launchReady(t, env);
    await signs(t, now.find(({ state }) => state === 'active')?.kid);
    await service.stop();
  });

  await t.test('hsm.md', { skip: withoutSoftHsm }, async (t) => {
    const device = softHsm().variables;
    const [old] = await inState('active');
    const { stdout } = await follow('hsm.md', device);
    t.match(stdout, /^scheduled/m);
    const [next] = await inState('pending');
    t.match(
      stdout
        .split('\n')
        .filter((line) => line.includes(' hsm '))
        .pop(),
      new RegExp(`the token .* has ${next?.kid}`),
    );
    await execute(database, `UPDATE signing_keys SET published_at = published_at - interval '11 minutes'`);
    service = await launchReady(t, { ...env, ...device });
    await signs(t, next?.kid);
    t.ok((await jwks()).includes(String(old?.kid)), 'and so is the one before');
    t.match(
      (await inState('retiring')).find(({ kid }) => kid === old?.kid),
      { sealed_private: null },
    );
    await service.stop();
  });
});
