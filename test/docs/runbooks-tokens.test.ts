/** The runbooks for tokens and for what the service stands on, beside two real services and a Redis of their own. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { postgresUrl, withoutRedis } from '../support/databases.js';
import {
  eventually,
  launchReady,
  runToEnd,
  type ServiceProcess,
  stopByPid,
  temporaryFolder,
} from '../support/process.js';
import { noteSecret } from '../support/run-log.js';
import { followRunbook, runbooks, withoutBash } from '../support/runbooks.js';
import { findBinary, startRedis } from '../support/servers.js';

const ofTokens = ['everything.md', 'leaked-by-a-service.md', 'stolen-laptop.md'];
const ofServers = ['redis-is-gone.md', 'restored-from-a-backup.md'];
const ofKeys = ['emergency.md', 'hsm.md', 'lost-kek.md', 'new-kek.md', 'rotate.md'];

t.test('every runbook is tried, here or in runbooks.test.ts', async (t) => {
  t.same(runbooks().sort(), [...ofTokens, ...ofServers, ...ofKeys].sort());
});

const BILLING = 'billing';

t.test('each runbook does what it is for', { skip: withoutBash || withoutRedis }, async (t) => {
  const url = await postgresUrl(t);
  let redis = await startRedis();
  t.teardown(() => redis?.stop());
  const env = {
    DATABASE_URL: url,
    KEYS_DIR: join(temporaryFolder(t), 'keys'),
    SIGNING_ALG: 'EdDSA',
    REDIS_URL: redis?.url ?? '',
  };
  let one = await launchReady(t, env);
  // The same issuer: tokens of one are good at the other.
  const twin = () => launchReady(t, { ...env, ISSUER: one.url });
  let other = await twin();
  await one.register();
  await one.register('grace@example.com');
  const made = await runToEnd(
    t,
    ['clients', 'create', '--client-id', BILLING, '--type', 'confidential', '--audience', 'api', '--json'].concat([
      '--grant',
      'client_credentials',
      '--scope',
      'revocations:read',
    ]),
    env,
  );
  let secret = String(JSON.parse(made.stdout).client_secret);
  noteSecret(secret);

  const codeAt = async (service: ServiceProcess, token: string) => {
    const { status, body } = await service.get('/v1/me', token);
    return status === 200 ? 200 : String(body.code);
  };
  const everywhere = (token: string) => Promise.all([one, other].map((service) => codeAt(service, token)));
  const billing = async () => {
    const response = await fetch(`${one.url}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: BILLING, client_secret: secret }),
    });
    const { access_token: token } = (await response.json()) as { access_token: string };
    noteSecret(token);
    return token;
  };
  const feedAt = async (service: ServiceProcess, token: string) => (await service.get('/v1/revocations', token)).status;
  const follow = (file: string) => followRunbook(file, { ...env, ISSUER: one.url, URL: one.url });

  await t.test('stolen-laptop.md', async (t) => {
    const [stolen, left, others] = [await one.login(), await other.login(), await one.login('grace@example.com')];
    const { stdout } = await follow('stolen-laptop.md');
    noteSecret(/^password +(\S+)$/m.exec(stdout)?.[1]);
    for (const { access_token: token } of [stolen, left])
      t.same(await everywhere(token), ['token_revoked', 'token_revoked']);
    t.equal((await other.refresh(stolen.refresh_token)).body.code, 'session_revoked');
    t.same(await everywhere(others.access_token), [200, 200], 'others go on');
    await t.rejects(one.login(), /invalid_credentials/, 'the password is another one');
  });

  await t.test('leaked-by-a-service.md', async (t) => {
    const [leaked, person] = [await billing(), await one.login('grace@example.com')];
    t.equal(await feedAt(other, leaked), 200);
    const { stdout } = await follow('leaked-by-a-service.md');
    t.same([await feedAt(one, leaked), await feedAt(other, leaked)], [401, 401]);
    t.same(await everywhere(person.access_token), [200, 200], 'sessions with another client go on');
    t.equal(await billing(), undefined, 'the secret is no good any more');
    secret = /^client_secret +(\S+)$/m.exec(stdout)?.[1] ?? '';
    noteSecret(secret);
    t.equal(await feedAt(other, await billing()), 200);
  });

  await t.test('everything.md', async (t) => {
    const [person, service] = [await one.login('grace@example.com'), await billing()];
    await follow('everything.md');
    t.same(await everywhere(person.access_token), ['token_revoked', 'token_revoked']);
    t.equal(await feedAt(other, service), 401);
    t.equal((await one.refresh(person.refresh_token)).body.code, 'session_revoked');
    const again = await other.login('grace@example.com');
    t.same(await everywhere(again.access_token), [200, 200], 'who logs in again is in');
  });

  await t.test('redis-is-gone.md', async (t) => {
    const [leaving, staying] = [await one.login('grace@example.com'), await one.login('grace@example.com')];
    await stopByPid(redis?.pid ?? 0, 'SIGKILL');
    const unknown = async () => (await everywhere(staying.access_token)).every((code) => code === 'revocation_unknown');
    await eventually(unknown, () => 'tokens are accepted without anybody knowing');
    const pending = await one.post('/v1/logout', { refresh_token: leaving.refresh_token });
    t.match(pending, { status: 503, body: { code: 'revocation_pending' } });
    t.equal((await other.refresh(staying.refresh_token)).status, 200, 'sessions go on');

    const followed = follow('redis-is-gone.md');
    redis = await startRedis({ port: redis?.port ?? 0 });
    t.match((await followed).stdout, /"redis".*("ok"|ready)/s);
    t.same(await everywhere(staying.access_token), [200, 200]);
    t.same(await everywhere(leaving.access_token), ['token_revoked', 'token_revoked'], 'nothing had to be repeated');
  });

  await t.test(
    'restored-from-a-backup.md',
    { skip: findBinary('pg_restore') === null && 'no pg_restore' },
    async (t) => {
      const before = await one.login('grace@example.com');
      const backup = join(temporaryFolder(t), 'backup');
      const run = (name: string, ...args: string[]) => execFileSync(findBinary(name) ?? name, args, { stdio: 'pipe' });
      run('pg_dump', '--format=custom', `--file=${backup}`, url);
      const after = await one.login('grace@example.com');
      const { body } = await one.refresh(before.refresh_token);
      t.equal((await one.post('/v1/logout', { refresh_token: body.refresh_token })).status, 204);

      const { port } = one;
      await Promise.all([one.stop(), other.stop()]);
      run('pg_restore', '--clean', '--if-exists', `--dbname=${url}`, backup);
      await followRunbook('restored-from-a-backup.md', { ...env, ISSUER: one.url });
      one = await launchReady(t, { ...env, PORT: String(port) });
      other = await twin();
      for (const { access_token: token } of [before, after]) t.notMatch(await everywhere(token), [200]);
      await noSession(t, before.refresh_token, 'session_revoked');
      await noSession(t, after.refresh_token, 'invalid_refresh_token');
      t.same(await everywhere((await one.login('grace@example.com')).access_token), [200, 200]);
    },
  );

  async function noSession(t: Test, token: string, code: string) {
    for (const service of [one, other]) t.equal((await service.refresh(token)).body.code, code);
  }
});
