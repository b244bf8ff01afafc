/** The short version of `npm run test:fire`. */
import { randomInt } from 'node:crypto';
import t from 'tap';
import { hasPostgres, hasRedis } from '../../support/servers.js';
import { fire, missingFrom } from './fire.js';

const skip = !(hasPostgres() && hasRedis()) && 'the binaries of PostgreSQL and Redis are needed: install both servers';

t.test('in a bad network, with servers that crash', { skip }, async (t) => {
  const seed = randomInt(2 ** 31);
  t.comment(`seed ${seed}`);
  const report = await fire(t, {
    clients: 20,
    seconds: 6,
    seed,
    pauseMs: [250, 750],
    offMs: 1_000,
    // A parallel request without a key is safe within the leeway, and this machine may be busy with other tests.
    leeway: '60s',
  });

  await t.test('no client is logged out, and each holds the current token', async (t) => {
    t.same(report.findings, [], `seed ${seed}`);
    t.match(report, { loggedOut: 0, withoutCurrentToken: 0, stuckAfterwards: 0 });
  });

  await t.test('no rotation is lost or done twice', async (t) => {
    t.match(report, { lostGenerations: 0, doubledGenerations: 0 });
    t.ok(report.rotations > report.settings.clients);
  });

  await t.test('all of it has really happened', async (t) => {
    t.same(missingFrom(report), []);
  });
});
