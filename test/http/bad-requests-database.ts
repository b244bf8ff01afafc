/** All that the database holds, to compare. */
import type { Database } from '../../src/adapters/postgres/database.js';
import { rowsOf } from '../support/service.js';

type Tables = Record<string, string[]>;

/** With the transaction that wrote each row, so that a row that was written again is seen though it is the same. */
export async function everyTable(database: Database): Promise<Tables> {
  const tables = await rowsOf(database, 'information_schema.tables', "table_schema = 'public'");
  const names = tables.map((table) => String(table.table_name)).sort();
  const contents: Tables = {};
  for (const name of names) {
    const rows = await rowsOf(
      database,
      `(SELECT xmin::text AS written_by, r::text AS content FROM "${name}" AS r) AS rows`,
    );
    contents[name] = rows.map((row) => `${row.written_by} ${row.content}`).sort();
  }
  return contents;
}

export const changesNothing = (before: Tables, after: Tables): string[] =>
  Object.keys({ ...before, ...after }).filter((name) => before[name]?.join('\n') !== after[name]?.join('\n'));
