/** The command line as a process: where it finds a service, and its exit codes. What it prints is tested in test/cli. */
import { existsSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import t, { type Test } from 'tap';
import type { AdminKey } from '../../src/http/admin/key-routes.js';
import { findSocket } from '../../src/http/local-socket.js';
import { embeddedFolder, postgresUrl, withoutPostgres } from '../support/databases.js';
import { eventually, launchReady, runToEnd, temporaryFolder } from '../support/process.js';
import { noteSecret, noteSecretsOf } from '../support/run-log.js';
import type { Tokens } from '../support/service.js';

t.test('wrong usage ends with 2 and says what is wrong on stderr alone', async (t) => {
  t.match(await runToEnd(t, ['clients', 'frobnicate']), { code: 2, stdout: '', stderr: /^error: / });
});

t.test('a new key-encryption key is a file of its owner alone, and replaces none', async (t) => {
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  const { code, stdout } = await runToEnd(t, ['keys', 'new-kek', '--json'], { KEYS_DIR, NODE_ENV: 'production' });
  t.equal(code, 0);
  const { path } = JSON.parse(stdout);
  t.same(
    readdirSync(KEYS_DIR).map((file) => join(KEYS_DIR, file)),
    [path],
  );
  t.equal(statSync(KEYS_DIR).mode & 0o777, 0o700);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.match(readFileSync(path, 'utf8'), /^[A-Za-z0-9_-]{43}\n$/);
  noteSecret(readFileSync(path, 'utf8').trim());
});

/** Whether any file below `folder` has this text in it. */
const isIn = (folder: string, text: string): boolean =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .some((entry) => readFileSync(join(entry.parentPath, entry.name)).includes(text));

const json = async (t: Test, args: string[], env: Record<string, string>) => {
  const { code, stdout, stderr } = await runToEnd(t, [...args, '--json'], env);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${stderr}`);
  noteSecretsOf(stdout);
  return JSON.parse(stdout);
};

t.test('a stopped service is administered in its folder, and a running one through its socket', async (t) => {
  const env = { DATA_DIR: embeddedFolder(t), KEYS_DIR: join(temporaryFolder(t), 'keys'), SIGNING_ALG: 'EdDSA' };
  const socket = join(env.DATA_DIR, 'run', 'keyturn.sock');
  const create = ['clients', 'create', '--client-id', 'billing', '--type', 'confidential', '--audience', 'api'];
  const { client_id, client_secret } = await json(t, [...create, '--scope', 'invoices:read'], env);
  t.match(client_secret, /^kts_/);
  t.notOk(isIn(env.DATA_DIR, client_secret), 'its secret is shown, and not kept');

  const service = await launchReady(t, env);
  const credentials = Buffer.from(`${client_id}:${client_secret}`).toString('base64');
  noteSecret(credentials);
  const response = await fetch(`${service.url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'invoices:read' }),
  });
  const body = (await response.json()) as Record<string, unknown>;
  noteSecret(body.access_token);
  t.equal(response.status, 200);
  t.match(body, { token_type: 'Bearer', expires_in: 900, scope: 'invoices:read' });

  t.equal(statSync(socket).mode & 0o777, 0o600, 'the socket is its owner’s alone');
  t.equal(statSync(join(env.DATA_DIR, 'run')).mode & 0o777, 0o700);
  await service.register();
  const tokens = await service.login();
  const ada = await json(t, ['users', 'disable', 'ada@example.com'], env);
  t.match(ada, { email: 'ada@example.com', disabled_at: /^2/ });
  t.match(await service.refresh(tokens.refresh_token), { status: 401, body: { code: 'account_disabled' } });
  t.match(await json(t, ['clients', 'list'], env), { clients: [{ client_id }, {}, {}] });
  const kid = String(decodeProtectedHeader(tokens.access_token).kid);
  const keyIn = async (state: AdminKey['state']): Promise<AdminKey> => {
    const { keys } = await json(t, ['keys', 'list'], env);
    return keys.find((key: AdminKey) => key.state === state);
  };
  t.match(await keyIn('active'), { kid, alg: 'EdDSA' });
  await json(t, ['keys', 'revoke', kid, '--compromised', '--yes'], env);
  t.match(await service.get('/v1/me', tokens.access_token), { status: 401, body: { code: 'unknown_key' } });
  const { checks } = await json(t, ['doctor'], env);
  t.match(
    checks.filter(({ check }: { check: string }) => check === 'service'),
    [{ status: 'ok' }],
  );

  await eventually(
    () => service.output.stdout.includes('"msg":"sealed audit events"'),
    () => 'nothing is sealed',
  );
  const running = await json(t, ['audit', 'verify'], env);
  t.match(running, { whole: true, head: { hash: /^[0-9a-f]{64}$/ } });

  const meanwhile = await runToEnd(t, ['migrate'], env);
  t.match(
    meanwhile,
    { code: 1, stderr: new RegExp(`in use by process ${service.pid}\\b`) },
    'the folder of a running service is left',
  );
  await service.stop('SIGKILL');
  t.ok(existsSync(socket), 'a killed process leaves its socket');

  const next = await launchReady(t, { ...env, ISSUER: service.url });
  t.match(await json(t, ['users', 'enable', 'ada@example.com'], env), { disabled_at: null }, 'which the next replaces');
  t.match(await next.stop('SIGINT'), { code: 0, signal: null });
  t.notOk(existsSync(socket), 'one that stops in good order takes it along');
  t.match(await keyIn('revoked'), { kid, kek: null }, 'its folder has what was done through the socket');
  t.match(await json(t, ['audit', 'verify', '--head', running.head.hash], env), { whole: true });
});

t.test('a folder whose path is too long for a socket is told of, on both sides', async (t) => {
  const folder = temporaryFolder(t);
  const DATA_DIR = join(folder, 'd'.repeat(100));
  renameSync(embeddedFolder(t), DATA_DIR);
  const service = await launchReady(t, { DATA_DIR, KEYS_DIR: join(folder, 'keys') });
  t.match(service.output.stdout, /"level":"warn".*longer than the \d+ bytes.*cannot reach this process/);
  const refused = await runToEnd(t, ['users', 'list'], { DATA_DIR });
  t.match(refused, { code: 1, stdout: '', stderr: /in use by process .*longer than the \d+ bytes.*symbolic link/ });
  await service.stop();
  // The way out that both of them name.
  const link = join(folder, 'short');
  symlinkSync(DATA_DIR, link);
  t.same(findSocket(link), { path: join(link, 'run', 'keyturn.sock'), problem: null });
});

t.test('services on PostgreSQL see at once what commands change', { skip: withoutPostgres }, async (t) => {
  const env = { DATABASE_URL: await postgresUrl(t), KEYS_DIR: join(temporaryFolder(t), 'keys') };
  const service = await launchReady(t, env);
  const { password } = await json(t, ['users', 'create', '--email', 'root@example.com', '--role', 'admin'], env);
  const login = await service.post('/v1/login', { email: 'root@example.com', password, client_id: 'keyturn-admin' });
  t.equal(login.status, 200);
  const { access_token: token } = login.body as unknown as Tokens;
  t.match(await service.get('/v1/admin/users', token), { body: { users: [{ email: 'root@example.com' }] } });
  await json(t, ['users', 'set-roles', 'root@example.com', '--role', 'support'], env);
  t.match(await service.get('/v1/admin/users', token), { status: 403, body: { code: 'role_required' } });

  const found = await json(t, ['doctor'], { ...env, SINGLE_PROCESS: 'true' });
  t.same(new Set(found.checks.map(({ status }: { status: string }) => status)), new Set(['ok']));
  const other = { ...env, KEYS_DIR: join(temporaryFolder(t), 'keys') };
  await runToEnd(t, ['keys', 'new-kek'], other);
  const sick = await runToEnd(t, ['doctor', '--json'], other);
  t.match(sick, { code: 1, stderr: /^keyturn: something is wrong: signing_keys\n$/ });
  t.match(
    JSON.parse(sick.stdout).checks.filter(({ status }: { status: string }) => status !== 'ok'),
    [
      { check: 'redis', status: 'warn' },
      { check: 'signing_keys', status: 'fail', detail: /KEK 2/, mend: /backup/ },
    ],
  );
  await service.stop();
});
