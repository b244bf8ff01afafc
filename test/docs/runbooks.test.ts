/** The runbooks for signing keys, beside a real service. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import t, { type Test } from 'tap';
import { verifySignature } from '../../src/adapters/node-crypto/token-signer.js';
import { createPkcs11Signer } from '../../src/adapters/pkcs11/token-signer.js';
import { connectPostgres } from '../../src/adapters/postgres/database.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { diagnose } from '../../src/cli/checks.js';
import { postgresUrl } from '../support/databases.js';
import { eventually, launch, launchReady, runToEnd, temporaryFolder } from '../support/process.js';
import { followRunbook, withoutBash } from '../support/runbooks.js';
import { execute, rowsOf } from '../support/service.js';
import { softHsm, withoutSoftHsm } from '../support/softhsm.js';

t.test('each runbook for signing keys does what it is for', { skip: withoutBash }, async (t) => {
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

  const follow = (file: string, more: NodeJS.ProcessEnv = {}) => followRunbook(file, { ...env, ...more });
  const inState = async (...states: string[]) =>
    (await rowsOf(database, 'signing_keys')).filter(({ state }) => states.includes(String(state)));
  const command = ['webhooks', 'create', '--url', 'https://siem.example.com/', '--event', 'webhook.test', '--json'];
  t.match(await runToEnd(t, command, env), { code: 0 });
  const webhookKeks = async () => (await rowsOf(database, 'webhook_endpoints')).map(({ kek_id: id }) => `${id}.kek`);
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
    t.same(await webhookKeks(), after);
    await service.stop();
    service = await launchReady(t, env);
    await signs(t, kid);
    await service.stop();
  });

  await t.test('lost-kek.md', async (t) => {
    const lost = (await inState('active', 'pending')).map(({ kid }) => kid);
    const signed = async () => (await diagnose(env)).filter(({ check }) => check === 'webhooks');
    t.match(await signed(), [{ status: 'ok' }]);
    for (const file of readdirSync(KEYS_DIR)) rmSync(join(KEYS_DIR, file));
    t.match(await signed(), [{ status: 'fail', detail: /cannot be signed/ }]);
    service = await launch(t, env);
    await eventually(
      async () => (await service.get('/readyz')).status === 503,
      () => service.output.stderr,
    );
    await follow('lost-kek.md', { URL: service.url });
    await service.ready();
    t.match(await signed(), [{ status: 'ok' }]);
    t.same(await webhookKeks(), readdirSync(KEYS_DIR).sort().slice(-1));
    const now = await inState('active', 'pending');
    t.same(now.map(({ state }) => state).sort(), ['active', 'pending']);
    t.notOk(now.some(({ kid }) => lost.includes(kid)));
    await signs(t, now.find(({ state }) => state === 'active')?.kid);

    // At 2 in the morning somebody may be at the wrong service, or follow the wrong runbook.
    await follow('lost-kek.md', { URL: service.url });
    t.same(await inState('active', 'pending'), now, 'a key that can be opened is not given up');
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

  await t.test('lost-hsm-keys.md', { skip: withoutSoftHsm }, async (t) => {
    const { settings, variables } = softHsm();
    const lost = (await inState('active', 'pending')).map(({ kid }) => kid);
    const token = createPkcs11Signer({ ...settings, random: systemRandom, verifySignature });
    t.teardown(token.close);
    for (const { material } of await token.held()) await token.destroy(material);
    service = await launch(t, { ...env, ...variables });
    await eventually(
      async () => (await service.get('/readyz')).status === 503,
      () => service.output.stderr,
    );
    await follow('lost-hsm-keys.md', { ...variables, URL: service.url });
    await service.ready();
    const now = await inState('active', 'pending');
    t.same(now.map(({ state }) => state).sort(), ['active', 'pending']);
    t.notOk(now.some(({ kid }) => lost.includes(kid)));
    t.same((await token.held()).map(({ kid }) => kid).sort(), now.map(({ kid }) => kid).sort());
    await signs(t, now.find(({ state }) => state === 'active')?.kid);
    await service.stop();
  });
});
