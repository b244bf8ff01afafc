import t from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createExpiredRows } from '../../src/adapters/postgres/expired-rows.js';
import { type Instant, instant, later } from '../../src/domain/types.js';
import { onEachDatabase, postgresDatabase, withoutPostgres } from '../support/databases.js';
import { execute, rowsOf } from '../support/service.js';

/** Long past by the clock of the database too. */
const NOW = instant(Date.UTC(2024, 2, 1, 12));
const START = instant(0);
const sql = (at: Instant) => `timestamptz '${new Date(at).toISOString()}'`;

/** One that ends at each second before NOW, and as many that end after it. */
const seed = async (database: Database, each: number, now = NOW): Promise<void> => {
  await execute(database, 'DELETE FROM revocations');
  await execute(
    database,
    `INSERT INTO revocations (kind, value, revoked_at, expires_at)
      SELECT 'jti', 'token ' || i, ${sql(now)}, ${sql(now)} + make_interval(secs => i)
      FROM generate_series(${-each}, ${each - 1}) AS i`,
  );
};
const left = async (database: Database) => (await rowsOf(database, 'revocations')).length;

t.test('expired rows', (t) =>
  onEachDatabase(t, async (t, database) => {
    const rows = createExpiredRows(database);

    t.test('are counted, up to a limit', async (t) => {
      await seed(database, 10);
      t.equal(await rows.count('revocations', NOW, 100), 10);
      t.equal(await rows.count('revocations', NOW, 7), 7);
      t.equal(await rows.count('sessions', NOW, 100), 0);
    });

    t.test('are removed the oldest first, so many at a time, and nothing that has not ended', async (t) => {
      await seed(database, 10);
      const first = await rows.remove('revocations', START, NOW, 6);
      t.same(first, { rows: 6, upTo: NOW - 5_000 });
      const second = await rows.remove('revocations', first?.upTo ?? START, NOW, 6);
      t.same(second, { rows: 4, upTo: NOW - 1_000 });
      t.same(await rows.remove('revocations', second?.upTo ?? START, NOW, 6), { rows: 0, upTo: NOW - 1_000 });
      t.equal(await left(database), 10);
    });

    t.test('stay as long as they must by the clock of the database, though a node be ahead', async (t) => {
      const now = instant(Date.now());
      const ahead = later(now, 7 * 86_400);
      // A minute for the test: some have ended by a minute and more, and some end later.
      await seed(database, 120, later(now, -60));
      const removed = await rows.remove('revocations', START, ahead, 1_000);
      t.ok(removed !== null && removed.rows >= 120 && removed.rows < 240, `${removed?.rows} are removed`);
      t.ok((await left(database)) > 0, 'a rule that tokens need is there');
      t.equal(await rows.count('revocations', ahead, 1_000), 0, 'and is not counted');
    });
  }),
);

t.test('with several connections', { skip: withoutPostgres }, async (t) => {
  const database = await postgresDatabase(t);
  const rows = createExpiredRows(database);

  t.test('one node at a time is at it, and the others are told', async (t) => {
    await seed(database, 500);
    await database.transaction(async (sql) => {
      const one = createExpiredRows({ ...database, query: sql.query });
      t.match(await one.remove('revocations', START, NOW, 20), { rows: 20 });
      t.equal(await rows.remove('revocations', START, NOW, 20), null, 'while it is not over');
    });
    t.match(await rows.remove('revocations', START, NOW, 20), { rows: 20 });
  });

  t.test('however many are at it, what has ended goes and nothing else', async (t) => {
    await seed(database, 500);
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (;;) if ((await rows.remove('revocations', START, NOW, 20))?.rows === 0) return;
      }),
    );
    t.equal(await left(database), 500);
  });

  t.test('a row that somebody holds is passed over, and waited for by nobody', async (t) => {
    await seed(database, 3);
    await database.transaction(async (held) => {
      await held.query({ name: 'hold', text: `SELECT FROM revocations WHERE value = 'token -2' FOR UPDATE` }, []);
      t.match(await rows.remove('revocations', START, NOW, 10), { rows: 2 });
    });
    t.match(await rows.remove('revocations', START, NOW, 10), { rows: 1 });
  });
});
