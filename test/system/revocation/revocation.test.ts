/** The short version of `npm run test:revocation`. */
import { randomInt } from 'node:crypto';
import t, { type Test } from 'tap';
import { postgresUrl, withoutPostgres, withoutRedis } from '../../support/databases.js';
import { missingFrom, type ProofSettings, prepare } from './proof.js';

const skip = withoutPostgres || withoutRedis;
const seed = randomInt(2 ** 31);

async function isEnforced(t: Test, settings: Pick<ProofSettings, 'topology' | 'tries' | 'seconds'>) {
  t.comment(`seed ${seed}`);
  const { world, run } = await prepare(t, { ...settings, seed, database: await postgresUrl(t) });
  const report = await run();
  t.comment(JSON.stringify(report));
  t.same(report.findings, [], `seed ${seed}`);
  const acknowledged = Object.values(report.acknowledged).reduce((sum, n) => sum + n, 0);
  t.ok(acknowledged > settings.tries / 4, `${acknowledged} acknowledged`);
  return { world, report };
}

t.test('what is acknowledged is enforced on every node, whatever becomes of Redis', { skip }, async (t) => {
  const { world, report } = await isEnforced(t, { topology: 'one server', tries: 300, seconds: 12 });
  t.same(missingFrom(report, world), []);
});
