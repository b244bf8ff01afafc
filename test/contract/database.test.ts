/** The database goes away, or was left half migrated: what its callers see, and that the process goes on. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { translate } from '../../src/adapters/postgres/availability.js';
import { connectPostgres, type Database } from '../../src/adapters/postgres/database.js';
import { migrate } from '../../src/adapters/postgres/migrate.js';
import { embeddedDatabase, postgresDatabase, postgresUrl, withoutPostgres } from '../support/databases.js';
import { temporaryFolder } from '../support/process.js';
import { execute, rowsOf } from '../support/service.js';

const unavailable = { name: 'Refusal', code: 'store_unavailable' };

t.test('a connection that breaks is an outage, however the system calls it', async (t) => {
  for (const code of ['ECONNRESET', 'EPIPE', 'ENOENT', '57P01', '08006'])
    t.match(translate(Object.assign(new Error('a value'), { code })), unavailable, code);
  t.match(translate(new Error('There was an error establishing an SSL connection')), unavailable);
  t.match(translate(Object.assign(new Error('a value'), { code: '22003' })), { name: 'DatabaseFault', code: '22003' });
});

t.test('a server behind a Unix socket that is not there is an outage', async (t) => {
  const folder = encodeURIComponent(temporaryFolder(t));
  const database = connectPostgres({ url: `postgresql://keyturn@/keyturn?host=${folder}`, max: 1, onIdleError() {} });
  t.teardown(() => database.close());
  await t.rejects(database.query({ name: 'one', text: 'SELECT 1' }, []), unavailable);
  await t.rejects(
    database.orm((prisma) => prisma.client.findUnique({ where: { clientId: 'default' } })),
    unavailable,
  );
});

t.test('a migration that failed is refused until it is marked as rolled back, and then applied', async (t) => {
  const database = await embeddedDatabase(t);
  const applied = await rowsOf(database, '_prisma_migrations');
  await execute(database, 'UPDATE _prisma_migrations SET finished_at = NULL');
  await t.rejects(migrate(database, sleep), /begun and not finished/);
  await execute(database, 'UPDATE _prisma_migrations SET rolled_back_at = now()');
  const named = async (catalogue: string, name: string, where: string) =>
    (await rowsOf(database, catalogue, where)).map((row) => row[name]).join(', ');
  const others = `schemaname = 'public' AND tablename <> '_prisma_migrations'`;
  await execute(database, `DROP TABLE ${await named('pg_tables', 'tablename', others)}`);
  await execute(database, `DROP FUNCTION ${await named('pg_proc', 'proname', `starts_with(proname, 'keyturn_')`)}`);
  await execute(database, 'DROP SEQUENCE revocations_id_seq');
  t.strictSame(
    await migrate(database, sleep),
    applied.map(({ migration_name: name }) => name),
  );
  t.strictSame(await migrate(database, sleep), [], 'once');
});

t.test('a statement sees what was committed, whatever the server’s default', { skip: withoutPostgres }, async (t) => {
  const url = await postgresUrl(t);
  const connect = () => connectPostgres({ url, max: 1, onIdleError() {} });
  const first = connect();
  const name = new URL(url).pathname.slice(1);
  await execute(first, `ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`);
  await first.close();
  const database = connect();
  t.teardown(() => database.close());
  const show = { name: 'show', text: 'SHOW transaction_isolation' };
  t.same(await database.query(show, []), [{ transaction_isolation: 'read committed' }]);
});

t.test('a pool says how many connections are used, and who waits for one', { skip: withoutPostgres }, async (t) => {
  const database = await postgresDatabase(t, 1);
  const one = { name: 'one', text: 'SELECT 1' };
  let waiting: Promise<unknown> | undefined;
  await database.transaction(async () => {
    // Its turn comes when this transaction is over.
    waiting = database.query(one, []);
    t.same(database.pool?.(), { total: 1, idle: 0, waiting: 1 });
  });
  await waiting;
  t.same(database.pool?.(), { total: 1, idle: 1, waiting: 0 });
});

t.test('a transaction that loses its connection', { skip: withoutPostgres }, async (t) => {
  const database = await postgresDatabase(t);
  const backend = { name: 'backend', text: 'SELECT pg_backend_pid() AS pid' };
  const terminate = { name: 'terminate', text: 'SELECT pg_terminate_backend($1)' };
  const end = (pid: unknown): ReturnType<Database['query']> => database.query(terminate, [pid]);
  const uncaught: unknown[] = [];
  const note = (error: unknown) => uncaught.push(error);
  process.on('uncaughtException', note);
  t.teardown(() => process.off('uncaughtException', note));

  await t.test('between two statements is refused', async (t) => {
    const work = database.transaction(async (sql) => {
      const [row] = await sql.query<{ pid: number }>(backend, []);
      await end(row?.pid);
      await sleep(100);
      await sql.query({ name: 'one', text: 'SELECT 1' }, []);
    });
    await t.rejects(work, unavailable);
  });

  await t.test('in a statement is refused', async (t) => {
    const work = database.transaction(async (sql) => {
      const [row] = await sql.query<{ pid: number }>(backend, []);
      const slow = sql.query({ name: 'slow', text: 'SELECT pg_sleep(4)' }, []);
      await Promise.all([slow, sleep(100).then(() => end(row?.pid))]);
    });
    await t.rejects(work, unavailable);
  });

  t.same(uncaught, [], 'and the process goes on');
  t.match(await database.query({ name: 'one', text: 'SELECT 1 AS one' }, []), [{ one: 1 }]);
});
