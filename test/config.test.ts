import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, readConfig } from '../src/config.js';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

t.test('an empty environment is a working configuration', async (t) => {
  t.match(readConfig({}), {
    HOST: '127.0.0.1',
    PORT: 3000,
    ISSUER: 'http://127.0.0.1:3000',
    DATABASE_URL: null,
    DATA_DIR: './data',
    REDIS_URL: null,
    KEYS_DIR: './keys',
    SIGNING_ALG: 'RS256',
    REFRESH_REPLAY_WINDOW: null,
    REFRESH_REUSE_LEEWAY: 10,
    LIMIT_FAILURES: 5,
    LIMIT_BLOCK: 300,
    LIMIT_REQUESTS: 600,
    ARGON2_MEMORY_KIB: 19456,
    ARGON2_TIME_COST: 2,
    ARGON2_PARALLELISM: 1,
    production: false,
  });
});

t.test('every bad variable is named at once, and no value is shown', async (t) => {
  const bad = {
    PORT: '70000',
    ISSUER: 'not-a-url-s3cret',
    DATABASE_URL: 'mysql://u:s3cret@h/d',
    REDIS_URL: 'http://s3cret',
    SIGNING_ALG: 'HS256',
    TRUST_PROXY: '10.0.0.0/8, s3cret',
    CORS_ORIGINS: '*',
    REFRESH_REUSE_LEEWAY: '10 s',
    REFRESH_REPLAY_WINDOW: '-1',
    LIMIT_BLOCK: '4000d',
    LOG_LEVEL: 'loud',
    SINGLE_PROCESS: 'yes',
    ACCESS_TOKEN_HEADER: 'a b',
    ARGON2_TIME_COST: '0',
    REVOCATION_FAIL_MODE: 'ajar',
  };
  const problems = problemsOf(bad);
  t.same(problems.map((problem) => problem.split(':')[0]).sort(), Object.keys(bad).sort());
  t.notMatch(problems.join('\n'), /s3cret/);
});

t.test('Redis is one server, a master under Sentinels or a cluster', async (t) => {
  for (const REDIS_URL of ['redis://h', 'rediss://:p@h:1/2', 'redis+sentinel://a,b/main', 'redis+cluster://a,b'])
    t.match(readConfig({ REDIS_URL }), { REDIS_URL });
  for (const REDIS_URL of ['redis://a,b', 'redis+sentinel://s3cret@a', 'redis+cluster://a/1'])
    t.match(problemsOf({ REDIS_URL }), [/^REDIS_URL: expected redis:(?!.*s3cret)/]);
});

t.test('tokens whose revocation is unknown are refused, unless somebody decides otherwise', async (t) => {
  t.match(readConfig({}), { REVOCATION_FAIL_MODE: 'closed' });
  t.match(readConfig({ REVOCATION_FAIL_MODE: 'open' }), { REVOCATION_FAIL_MODE: 'open' });
});

t.test('a retention is days, or a duration: a number alone never means seconds', async (t) => {
  const days = (AUDIT_RETENTION: string) => readConfig({ AUDIT_RETENTION }).AUDIT_RETENTION / 86_400;
  t.same(['', '0', '90', '90d', '48h'].map(days), [400, 0, 90, 90, 2]);
  for (const AUDIT_RETENTION of ['-1', '4000', '1y', 'x']) t.match(problemsOf({ AUDIT_RETENTION }), [/days/]);
});

t.test('durations are seconds, or a number with a unit', async (t) => {
  for (const [text, seconds] of [
    ['0', 0],
    ['90', 90],
    ['90s', 90],
    ['5m', 300],
    ['2h', 7200],
    ['3d', 259_200],
  ] as const) {
    t.equal(readConfig({ LIMIT_BLOCK: text }).LIMIT_BLOCK, seconds);
  }
  for (const text of ['', ' ', 'm', '1w', '1.5h', '1e3', '٣']) {
    if (text !== '') t.same(problemsOf({ LIMIT_BLOCK: text }).length, 1, text);
  }
});

t.test('a secret can come from a file', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'keyturn-config-')), 'url');
  writeFileSync(file, 'postgres://u:p@h/d\n');
  t.equal(readConfig({ DATABASE_URL_FILE: file }).DATABASE_URL, 'postgres://u:p@h/d');
  t.match(problemsOf({ DATABASE_URL_FILE: `${file}.missing` }), ['DATABASE_URL_FILE: cannot be read (ENOENT)']);
  t.match(problemsOf({ DATABASE_URL_FILE: file, DATABASE_URL: 'postgres://h/d' }), [/both set/]);
});

t.test('production asks for what a guess would get wrong', async (t) => {
  const production = { NODE_ENV: 'production' };
  t.match(problemsOf(production), [/^ISSUER: must be set/]);
  t.match(problemsOf({ ...production, ISSUER: 'http://auth.example.com' }), [/^ISSUER: must be https/]);
  t.match(problemsOf({ ...production, ISSUER: 'x', PORT: 'y' }), [/^PORT/, /^ISSUER: expected/], 'each is named once');
  t.equal(readConfig(production, 'command').KEYS_DIR, './keys', 'a command asks for less than the service');
  const issuer = { ...production, ISSUER: 'https://auth.example.com' };
  t.same(problemsOf(issuer), []);
  t.match(problemsOf({ ...issuer, DATABASE_URL: 'postgres://h/d' }), [/^REDIS_URL/]);
  t.same(problemsOf({ ...issuer, DATABASE_URL: 'postgres://h/d', SINGLE_PROCESS: 'true' }), []);
  t.same(problemsOf({ ...issuer, DATABASE_URL: 'postgres://h/d', REDIS_URL: 'redis://h' }), []);
});

t.test('where breached passwords are asked for there is no secret, and nobody on the way listens', (t) => {
  for (const url of ['https://api.example', 'https://api.example/v2', 'http://127.0.0.1:8080', 'http://[::1]'])
    t.equal(readConfig({ BREACHED_PASSWORDS_URL: url }).BREACHED_PASSWORDS_URL, url);
  const bad = ['https://me:s3cret@api.example', 'https://me@api.example', 'https://:s3cret@api.example'];
  for (const url of [...bad, 'http://api.example', 'https://api.example/', 'https://api.example?x', 'api.example'])
    t.match(problemsOf({ BREACHED_PASSWORDS_URL: url }), [/^BREACHED_PASSWORDS_URL: expected/], url);
  t.end();
});

t.test('what would quietly mean something else is refused', async (t) => {
  t.match(problemsOf({ NODE_ENV: 'Production' }), [/^NODE_ENV/]);
  t.match(problemsOf({ DATABASE_URL: 'postgres://h/d?options=-c%20timezone%3DAsia/Tokyo' }), [/^DATABASE_URL/]);
});

t.test('nobody on the way learns which passwords are asked about', async (t) => {
  for (const url of ['https://range.example.com', 'https://range.example.com/v3', 'http://127.0.0.1:8080'])
    t.equal(readConfig({ BREACHED_PASSWORDS_URL: url }).BREACHED_PASSWORDS_URL, url);
  const plain = ['http://range.example.com', 'http://127.0.0.1.example.com', 'http://localhost.example.com'];
  const odd = ['https://ada@range.example.com', 'https://range.example.com/', 'https://range.example.com?x', 'range'];
  for (const url of [...plain, ...odd])
    t.match(problemsOf({ BREACHED_PASSWORDS_URL: url }), [/^BREACHED_PASSWORDS_URL: expected an https: URL/], url);
});

t.test('a token that holds signing keys is named whole or not at all', async (t) => {
  const token = { PKCS11_MODULE: '/usr/lib/hsm.so', PKCS11_TOKEN: 'keyturn', PKCS11_PIN: 's3cret' };
  t.match(readConfig({}), { SIGNER: 'local', PKCS11_MODULE: null, PKCS11_TOKEN: null, PKCS11_PIN: null });
  t.match(readConfig({ SIGNER: 'pkcs11', ...token }), { SIGNER: 'pkcs11', ...token });
  t.match(readConfig(token), { SIGNER: 'local', ...token }, 'it may hold old keys while new ones are made elsewhere');
  t.match(problemsOf({ SIGNER: 'pkcs11' }), [/^PKCS11_MODULE: /, /^PKCS11_TOKEN: /, /^PKCS11_PIN: /]);
  for (const name of Object.keys(token)) {
    const problems = problemsOf({ SIGNER: 'pkcs11', ...token, [name]: '' });
    t.match(problems, [new RegExp(`^${name}: must be set`)]);
    t.notMatch(problems.join(), /s3cret/);
  }
  t.match(problemsOf({ PKCS11_PIN: 's3cret' }), [/^PKCS11_MODULE: /, /^PKCS11_TOKEN: /]);
  t.match(problemsOf({ SIGNER: 'hsm' }), [/^SIGNER: expected one of local, pkcs11/]);
  t.match(problemsOf({ ...token, PKCS11_PIN: '', PKCS11_PIN_FILE: '/absent' }), [/^PKCS11_PIN_FILE: cannot/]);
});

t.test('metrics are kept off the public port', async (t) => {
  t.match(readConfig({}), { METRICS_PORT: null });
  t.match(readConfig({ METRICS_PORT: '9090' }), { METRICS_PORT: 9090 });
  t.match(problemsOf({ PORT: '9090', METRICS_PORT: '9090' }), [/^METRICS_PORT: .*PORT/]);
  t.match(problemsOf({ METRICS_PORT: '3000' }), [/^METRICS_PORT: /], 'nor on the one that is the default');
  t.match(problemsOf({ PORT: 'x', METRICS_PORT: 'y' }), [/^PORT: /, /^METRICS_PORT: /], 'each is named once');
});

t.test('an issuer has one spelling', async (t) => {
  for (const issuer of ['https://a/', 'https://a?x', 'https://a#x', 'https://u:p@a', 'ftp://a', 'a', 'https://a b']) {
    t.equal(problemsOf({ ISSUER: issuer }).length, 1, issuer);
  }
  t.equal(readConfig({ ISSUER: 'https://a.example/auth' }).ISSUER, 'https://a.example/auth');
});

t.test('a service that listens everywhere is its own issuer on loopback', async (t) => {
  t.equal(readConfig({ HOST: '0.0.0.0', PORT: '81' }).ISSUER, 'http://127.0.0.1:81');
  t.equal(readConfig({ HOST: '::1' }).ISSUER, 'http://[::1]:3000');
});

t.test('the header of the access token is none that has another use', (t) => {
  for (const name of ['jwt', 'X-Session-Token', 'access-token', 'x-jwt'])
    t.equal(readConfig({ ACCESS_TOKEN_HEADER: name }).ACCESS_TOKEN_HEADER, name.toLowerCase());
  const taken = [
    'host',
    'set-cookie',
    'x-auth-token',
    'authorization',
    'content-length',
    'x-forwarded-for',
    'location',
  ];
  for (const name of [...taken, '-token', 'my token', 'token:', 'tökén-token', `token${'x'.repeat(60)}`])
    t.throws(() => readConfig({ ACCESS_TOKEN_HEADER: name }), /ACCESS_TOKEN_HEADER: expected /);
  t.end();
});
