/** Prisma is loaded for who needs it, and for nobody else: it is a third of what a process takes. */
import { PrismaPg } from '@prisma/adapter-pg';
import t from 'tap';
import { modelsWhenUsed } from '../../../src/adapters/postgres/models.js';
import { fastDatabase } from '../../support/databases.js';
import { startService } from '../../support/service.js';
import { watched } from '../../support/watched-database.js';

t.test('a service begins, and people come and go, without models', async (t) => {
  const database = watched(await fastDatabase(t));
  const service = await startService(t, { database });
  await service.services.directory.load();
  await service.services.signingKeys.tend();
  await service.register();
  const tokens = await service.login();
  t.equal((await service.refresh(tokens.refresh_token)).statusCode, 200);
  t.equal((await service.get('/v1/me', tokens.access_token)).statusCode, 200);
  const asked = database.asked();
  t.ok(asked.includes('session_rotate'), 'what is asked is seen');
  t.notOk(asked.includes('orm'), asked.join());
});

t.test(
  'callers that need models at the same time get the same, and a database closes with and without them',
  async (t) => {
    const database = await fastDatabase(t);
    const seen = new Set<unknown>();
    const users = () =>
      database.orm((prisma) => {
        seen.add(prisma);
        return prisma.user.findMany();
      });
    t.strictSame(await Promise.all([users(), users()]), [[], []]);
    t.equal(seen.size, 1);
  },
);

t.test('models that could not be loaded are loaded for whoever needs them next', async (t) => {
  let tries = 0;
  const models = modelsWhenUsed(async () => {
    if (++tries === 1) throw new Error('too many open files');
    return new PrismaPg({ connectionString: 'postgres://127.0.0.1:1/never-connected' });
  });
  const seen = new Set<unknown>();
  const use = () => models.orm(async (prisma) => void seen.add(prisma));
  await t.rejects(use(), { message: 'too many open files' });
  await models.close();
  await use();
  await use();
  t.strictSame([tries, seen.size], [2, 1]);
  await models.close();
});
