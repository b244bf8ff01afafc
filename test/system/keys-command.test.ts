/**
 * `keyturn keys` as real processes: what running services hear of it, and who wins when many ask at once.
 * Over the socket of one on embedded storage: cli.test.ts.
 */
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import t, { type Test } from 'tap';
import { connectPostgres } from '../../src/adapters/postgres/database.js';
import type { KeyChange } from '../../src/http/admin/key-routes.js';
import { postgresUrl, withoutPostgres, withoutRedis } from '../support/databases.js';
import { eventually, launchReady, runToEnd, temporaryFolder } from '../support/process.js';
import { execute, rowsOf } from '../support/service.js';

const ASKING = 10;
/** A service that was not told looks every 30 seconds. */
const TOLD_WITHIN_MS = 5_000;
const alg = { SIGNING_ALG: 'EdDSA' };

async function json<T>(t: Test, args: string[], env: Record<string, string>): Promise<T> {
  const { code, stdout, stderr } = await runToEnd(t, ['keys', ...args, '--json'], env);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${stderr}`);
  return JSON.parse(stdout);
}

t.test('of ten processes that rotate at once one does, and nine say so', { skip: withoutPostgres }, async (t) => {
  const url = await postgresUrl(t);
  const env = { ...alg, DATABASE_URL: url, KEYS_DIR: join(temporaryFolder(t), 'keys') };
  const without = await runToEnd(t, ['keys', 'rotate'], env);
  t.match(without, {
    code: 1,
    stdout: '',
    stderr: /^keyturn: kek_unusable: there is no KEK in [^\n]* keys new-kek\n$/,
  });
  await runToEnd(t, ['keys', 'new-kek'], env);

  const first = await json<KeyChange>(t, ['rotate'], env);
  t.match(first, { outcome: 'scheduled', after: { length: 2 } });
  const database = connectPostgres({ url, max: 2, onIdleError: () => {} });
  t.teardown(() => database.close());
  await execute(database, `UPDATE signing_keys SET published_at = published_at - interval '11 minutes'`);

  const all = await Promise.all(Array.from({ length: ASKING }, () => json<KeyChange>(t, ['rotate'], env)));
  t.same(all.map(({ outcome }) => outcome).sort(), [...Array(ASKING - 1).fill('already'), 'done']);
  const states = (await rowsOf(database, 'signing_keys')).map(({ state }) => state).sort();
  t.same(states, ['active', 'pending', 'retiring']);
  const promoted = await rowsOf(database, 'audit_events', `event = 'signing_key.promoted'`);
  t.match(promoted, [{ actor: /^cli:./ }], 'one rotation is in the audit trail');
});

t.test(
  'running services are told over Redis what a command has done',
  { skip: withoutPostgres || withoutRedis },
  async (t) => {
    const REDIS_URL = process.env.TEST_REDIS_URL ?? '';
    const env = { ...alg, DATABASE_URL: await postgresUrl(t), KEYS_DIR: join(temporaryFolder(t), 'keys'), REDIS_URL };
    const service = await launchReady(t, env);
    await service.register();
    const { access_token: token } = await service.login();
    const kid = String(decodeProtectedHeader(token).kid);
    await json(t, ['revoke', kid, '--compromised', '--yes'], env);
    const since = Date.now();
    await eventually(
      async () => (await service.get('/v1/me', token)).body.code === 'unknown_key',
      () => 'the revoked key is trusted',
    );
    t.ok(Date.now() - since < TOLD_WITHIN_MS, 'at once');
    t.not(decodeProtectedHeader((await service.login()).access_token).kid, kid);
    await service.stop();
  },
);
