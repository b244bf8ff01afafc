/** The short version of `npm run test:revocation`. */
import { randomInt } from 'node:crypto';
import t from 'tap';
import { postgresUrl, withoutPostgres, withoutRedis } from '../../support/databases.js';
import { missingFrom, prepare } from './proof.js';

const skip = withoutPostgres || withoutRedis;
const seed = randomInt(2 ** 31);

t.test('what is acknowledged is enforced on every node, whatever becomes of Redis', { skip }, async (t) => {
  t.comment(`seed ${seed}`);
  const settings = { topology: 'one server', tries: 300, seconds: 10, seed } as const;
  const { world, run } = await prepare(t, { ...settings, database: await postgresUrl(t) });

  await t.test('no token is accepted after the acknowledgement, and none is refused without reason', async (t) => {
    const report = await run();
    t.same(report.findings, [], `seed ${seed}`);
    t.same(missingFrom(report), []);
  });

  await t.test('nodes that trust their copies without a lease would be found out', async (t) => {
    await Promise.all(world.nodes.map((node) => node.ask({ what: 'break', mutation: 'needs no lease' })));
    const { findings } = await run({ tries: 60, seconds: 5 });
    t.ok(findings.length > 0);
  });
});
