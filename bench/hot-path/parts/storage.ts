/** What a session takes up, before and after many rotations. */
import { count } from '../../measurement.js';
import type { Bench, Part } from '../bench.js';
import { loadWithoutErrors, refreshes } from '../chain.js';
import { queryOnce, startGround } from '../ground.js';
import { keyturn, spread, store } from '../stored.js';
import { ratio, ratios } from '../tables.js';

const STORED = 1_000;
const ROTATIONS = 100;
const QUICK_ROTATIONS = 5;

export interface Usage extends Record<string, number> {
  row: number;
  table: number;
  indexes: number;
  updates: number;
  heapOnly: number;
  /** Bytes written ahead so far. */
  wal: number;
}

async function usageOf(url: string): Promise<Usage> {
  const [row] = await queryOnce(
    url,
    `SELECT (SELECT avg(pg_column_size(s.*)) FROM sessions s)::float AS row,
      pg_table_size('sessions')::float AS "table", pg_indexes_size('sessions')::float AS indexes,
      n_tup_upd::float AS updates, n_tup_hot_upd::float AS "heapOnly",
      pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float AS wal
    FROM pg_stat_user_tables WHERE relname = 'sessions'`,
  );
  return row as Usage;
}

export const storage: Part = {
  about: 'bytes a session after 0 and 100 rotations, and heap-only updates',
  async measure({ scope, settings, say }: Bench) {
    const ground = await startGround(scope);
    const url = await ground.createDatabase('keyturn');
    const { port } = await ground.startService(url);
    await store(url, STORED, say);
    const before = await usageOf(url);
    const rotations = settings.quick ? QUICK_ROTATIONS : ROTATIONS;
    const workload = refreshes(keyturn(port), spread(STORED, STORED));
    let done = 0;
    const { connections } = settings;
    // All at the same time, without a pause: harder than what a day does.
    for (; done < rotations * STORED; say(`${count(done)} of ${count(rotations * STORED)} rotations`))
      done += (await loadWithoutErrors(workload, connections, 10)).latencies.length;
    await queryOnce(url, 'SELECT pg_stat_force_next_flush()');
    // A backend tells some seconds later what it has counted last: of all updates a few are missing.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const after = await usageOf(url);
    const each = (of: (usage: Usage) => number) => [of(before), of(after)].map((bytes) => count(bytes / STORED));
    const heapOnly = ratio(after.heapOnly - before.heapOnly, after.updates - before.updates);
    const columns = ['bytes a session', 'before', `after ${rotations} rotations of each`];
    const rows = [
      ['the row itself', count(before.row), count(after.row)],
      ['table, with the room for updates', ...each(({ table }) => table)],
      ['indexes', ...each(({ indexes }) => indexes)],
    ];
    const bytesAhead = (after.wal - before.wal) / done;
    return {
      tables: [
        { columns, rows },
        ratios([
          ['heap-only, of all updates', heapOnly, 'at least 0.95'],
          ['write-ahead log of one rotation, bytes', count(bytesAhead), ''],
        ]),
      ],
      how: `${count(STORED)} sessions, ${count(done)} rotations, ${connections} at once`,
      charts: {},
      data: { stored: STORED, before, after, rotations: done, bytesAhead },
    };
  },
};
