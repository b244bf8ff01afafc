import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openEmbedded } from '../../src/adapters/embedded/database.js';

t.test('a first start that was killed leaves nothing that stops the next one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-data-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  // What a process leaves that is killed while it makes a cluster: the beginning of one.
  mkdirSync(join(folder, 'pglite.new', 'base'), { recursive: true });
  writeFileSync(join(folder, 'pglite.new', 'PG_VERSION'), '');

  const database = await openEmbedded(folder);
  const rows = await database.query<{ one: number }>({ name: 'test_one', text: 'SELECT 1 AS one' }, []);
  await database.close();
  t.same(rows, [{ one: 1 }]);
  t.notOk(existsSync(join(folder, 'pglite.new')));
});
