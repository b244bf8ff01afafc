/** Configurations with which the service does not start: exit code 1, and on stderr what to do about it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fastStorage } from '../support/databases.js';
import { launchReady, runToEnd, temporaryFolder } from '../support/process.js';

const modeOf = (path: string) => statSync(path).mode & 0o777;

t.test('every bad variable is named at once, and no value of one', async (t) => {
  const { code, stderr, stdout } = await runToEnd(t, ['serve'], {
    PORT: '70000',
    ISSUER: 'https://auth.example.com/',
    LOG_LEVEL: 'shout',
    REFRESH_REUSE_LEEWAY: 'soon',
    DATABASE_URL: 'mysql://keyturn:hunter2-db@127.0.0.1/keyturn',
    REDIS_URL: 'http://:hunter2-redis@127.0.0.1',
    TRUST_PROXY: 'everybody',
  });
  t.equal(code, 1);
  for (const name of [
    'PORT',
    'ISSUER',
    'LOG_LEVEL',
    'REFRESH_REUSE_LEEWAY',
    'DATABASE_URL',
    'REDIS_URL',
    'TRUST_PROXY',
  ]) {
    t.match(stderr, new RegExp(`^ +${name}: `, 'm'));
  }
  t.notMatch(stderr + stdout, /hunter2/);
});

t.test('a geo database that cannot be read is named in one line, and nothing is made', async (t) => {
  const folder = temporaryFolder(t);
  const { code, stderr } = await runToEnd(t, ['serve'], { GEOIP_DB: join(folder, 'absent.mmdb') }, folder);
  t.equal(code, 1);
  t.match(stderr, /^keyturn: GEOIP_DB: .*ENOENT.*\n$/);
  t.same(readdirSync(folder), []);
});

t.test('a secret that cannot be read from its file is named', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'redis_url'), 'hunter2-redis\n');
  const { code, stderr } = await runToEnd(t, ['serve'], {
    DATABASE_URL_FILE: join(folder, 'absent'),
    REDIS_URL_FILE: join(folder, 'redis_url'),
  });
  t.equal(code, 1);
  t.match(stderr, /^ +DATABASE_URL_FILE: .*ENOENT/m);
  t.match(stderr, /^ +REDIS_URL_FILE: /m);
  t.notMatch(stderr, /hunter2/);
});

t.test('production', async (t) => {
  const production = { NODE_ENV: 'production', ISSUER: 'https://auth.example.com' };
  const DATABASE_URL = 'postgresql://keyturn:hunter2@127.0.0.1:9/keyturn';
  const refused = async (env: Record<string, string>) => {
    const folder = temporaryFolder(t);
    const { code, stderr } = await runToEnd(t, ['serve'], env, folder);
    t.equal(code, 1);
    t.same(readdirSync(folder), [], 'nothing was made');
    return stderr;
  };

  await t.test('asks for an issuer', async (t) => {
    t.match(await refused({ NODE_ENV: 'production' }), /^ +ISSUER: /m);
  });
  await t.test('asks for an issuer with TLS', async (t) => {
    t.match(await refused({ ...production, ISSUER: 'http://auth.example.com' }), /^ +ISSUER: .*https/m);
  });
  await t.test('asks for Redis where there may be several processes', async (t) => {
    t.match(await refused({ ...production, DATABASE_URL }), /^ +REDIS_URL: .*SINGLE_PROCESS/m);
  });
  await t.test('asks for a key-encryption key, and names the command that makes one', async (t) => {
    t.match(await refused({ ...production, DATABASE_URL, SINGLE_PROCESS: 'true' }), /keyturn keys new-kek/);
  });
});

t.test('keys that others can reach are refused with the command that mends it', async (t) => {
  const folder = temporaryFolder(t);
  const env = { KEYS_DIR: join(folder, "my key's folder"), ...(await fastStorage(t)) };
  mkdirSync(env.KEYS_DIR, { mode: 0o700 });
  t.equal((await runToEnd(t, ['keys', 'new-kek'], env)).code, 0);
  const file = join(env.KEYS_DIR, readdirSync(env.KEYS_DIR)[0] ?? '');

  for (const [path, lax, right] of [
    [env.KEYS_DIR, 0o750, 0o700],
    [file, 0o640, 0o600],
  ] as const) {
    chmodSync(path, lax);
    const { code, stderr } = await runToEnd(t, ['serve'], env);
    t.equal(code, 1);
    const command = /mend it with: (.*)\n$/.exec(stderr)?.[1] ?? '';
    t.match(command, /^chmod \d+ '/);
    execFileSync('sh', ['-c', command]);
    t.equal(modeOf(path), right);
  }
  await (await launchReady(t, env)).stop();
});
