/** Runs after all other tests, over everything that every service of the run has logged. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hashIdempotencyKey } from '../../src/domain/refresh.js';
import { createLogger } from '../../src/logger.js';

const folder = process.env.KEYTURN_TEST_LOGS;
const files = folder === undefined ? [] : readdirSync(folder).map((name) => join(folder, name));
const logs = files.filter((file) => file.endsWith('.log')).map((file) => readFileSync(file, 'utf8'));
const secrets = files
  .filter((file) => file.endsWith('.secrets'))
  .flatMap((file) => readFileSync(file, 'utf8').trim().split('\n'))
  .map((line) => JSON.parse(line) as string);
const skip = logs.length === 0 && 'nothing was logged in this run: it was narrowed down to other tests';

t.test('no password, token, key or Idempotency-Key is in any log of the run', { skip }, async (t) => {
  const all = logs.join('');
  t.ok(all.split('\n').length > 100, 'there is something to look at');
  t.ok(secrets.length > 50);
  const leaked = secrets.filter((secret) => all.includes(secret));
  t.same(leaked, []);
  // Nor anything that has the shape of one, whoever made it.
  t.notMatch(all, /kt[rds]_[A-Za-z0-9_-]{20}/);
  t.notMatch(all, /eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/);
  t.notMatch(all, /\$argon2id\$/);
  t.notMatch(all, /PRIVATE KEY/);
});

t.test('every line is JSON with a time, a level and a message', { skip }, async (t) => {
  const lines = logs.flatMap((log) => log.split('\n')).filter((line) => line.startsWith('{'));
  const odd = lines.filter((line) => {
    const { time, level, msg } = JSON.parse(line);
    return typeof time !== 'string' || typeof level !== 'string' || typeof msg !== 'string';
  });
  t.same(odd, []);
});

t.test('every request has one line that says who, from where and what came of it', { skip }, async (t) => {
  const lines = logs.flatMap((log) => log.split('\n')).filter((line) => line.includes('"msg":"request"'));
  const requests = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  t.same(
    requests.filter((r) => !(r.request_id && (r.ip || r.via === 'socket') && r.method && r.path && r.status)),
    [],
  );
  const refused = requests.filter((r) => Number(r.status) >= 400);
  t.same(
    refused.filter((r) => !r.code),
    [],
    'a refusal has its code',
  );
  const refreshes = requests.filter((r) => r.path === '/v1/refresh' && r.status === 200);
  t.same(
    refreshes.filter((r) => !(r.sub && r.sid && r.jti)),
    [],
    'a refresh says whose',
  );
});

t.test('the logger drops what has the name of a secret, should anybody ever log one', async (t) => {
  let line = '';
  const log = createLogger('info', {
    write(text: string) {
      line = text;
    },
  });
  const key = hashIdempotencyKey('x');
  log.info(
    {
      password: key,
      body: { refresh_token: key, token: key, pem: key, deep: { access_token: key } },
      headers: { authorization: key, 'idempotency-key': key },
    },
    'x',
  );
  t.notMatch(line, new RegExp(key));
  t.equal(JSON.parse(line).msg, 'x');
});
