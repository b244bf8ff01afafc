/** Refreshes as a function of how many sessions are stored. */

import { count } from '../measurement.js';
import { type Bench, inTurns, type Part, servedBy } from './bench.js';
import { refreshes, type Sessions } from './chain.js';
import { lines } from './chart.js';
import { type Ground, queryOnce, startGround } from './ground.js';
import type { Row } from './rounds.js';
import { keyturn, spread, store } from './stored.js';
import { find, ratio, ratios, tableOf } from './tables.js';

const SIZES = [10_000, 1_000_000, 10_000_000];
const QUICK_SIZES = [1_000, 10_000];
/** As many are in use at all sizes, spread over all that there are, so that it is the store alone that grows. */
const IN_USE = 2_000;
/** Where each refresh is of another session: one in so many is used, none of those above. */
const ONE_IN = 10;

interface Stored {
  url: string;
  row: Row;
  /** No page that is read or written was in use before. */
  hardest: Row;
}

/** A database and a process of the service of its own. */
async function startStored(ground: Ground, stored: number, bench: Bench): Promise<Stored> {
  const url = await ground.createDatabase(`keyturn_${stored}`);
  const { pid, port } = await ground.startService(url);
  await store(url, stored, bench.say);
  const { connections, quick } = bench.settings;
  const row = { connections, serving: servedBy(ground, [pid]) };
  const refreshing = (name: string, some: Sessions) => ({ ...row, name, workload: refreshes(keyturn(port), some) });
  return {
    url,
    row: refreshing(nameOf(stored), spread(stored, quick ? 500 : IN_USE)),
    hardest: refreshing(nameOfHardest(stored), spread(stored, stored / ONE_IN, ONE_IN / 2)),
  };
}

const nameOf = (stored: number) => `${count(stored)} stored`;
const nameOfHardest = (stored: number) => `${count(stored)} stored, each refresh of another`;

async function usageOf(url: string): Promise<{ updates: number; heapOnly: number; bytes: number }> {
  // What a backend has counted is told when it is idle.
  await queryOnce(url, 'SELECT pg_stat_force_next_flush()');
  const [row] = await queryOnce(
    url,
    `SELECT n_tup_upd::float AS updates, n_tup_hot_upd::float AS heap_only, pg_total_relation_size(relid)::float AS bytes
    FROM pg_stat_user_tables WHERE relname = 'sessions'`,
  );
  return { updates: Number(row?.updates), heapOnly: Number(row?.heap_only), bytes: Number(row?.bytes) };
}

export const sessions: Part = {
  about: 'refreshes with 10 thousand, 1 million and 10 million sessions stored',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const sizes = bench.settings.quick ? QUICK_SIZES : SIZES;
    const stored: Stored[] = [];
    for (const size of sizes) stored.push(await startStored(ground, size, bench));
    const [least = 0, most = 0] = [sizes[0], sizes.at(-1)];
    const last = stored.at(-1);
    const rows = [...stored.map(({ row }) => row), ...(last === undefined ? [] : [last.hardest])];
    const results = await inTurns(rows, ground, bench);
    const usage = await Promise.all(stored.map(({ url }) => usageOf(url)));
    const [few, many] = [nameOf(least), nameOf(most)].map((name) => find(results, name));
    const hardest = find(results, nameOfHardest(most));
    const share = ({ updates, heapOnly }: { updates: number; heapOnly: number }) =>
      `${((100 * heapOnly) / updates).toFixed(1)} %`;
    const between = `${count(most)} stored, of ${count(least)}`;
    return {
      tables: [
        tableOf(results, 'sessions'),
        ratios([
          [`CPU of a refresh, ${between}`, ratio(many?.signatures, few?.signatures), 'at most 1.1'],
          ['the same, each refresh of another session', ratio(hardest?.signatures, few?.signatures), ''],
          [`p99, ${between}`, ratio(many?.p99, few?.p99), 'at most 1.5'],
          ['the same, each refresh of another session', ratio(hardest?.p99, few?.p99), ''],
          ...usage.map(
            (one, i) => [`heap-only updates, ${count(sizes[i] ?? 0)} stored`, share(one), 'at least 95 %'] as const,
          ),
          ...usage.map(
            ({ bytes }, i) =>
              [
                `bytes a session, indexes included, ${count(sizes[i] ?? 0)} stored`,
                count(bytes / (sizes[i] ?? 1)),
                '',
              ] as const,
          ),
        ]),
      ],
      charts: {
        'sessions.svg': lines(
          'CPU of one refresh by the sessions that are stored',
          { x: 'sessions stored', y: 'signatures' },
          [
            {
              name: 'service and database',
              points: sizes.flatMap((x) => {
                const found = find(results, nameOf(x));
                return found === null ? [] : [{ x, y: found.signatures }];
              }),
            },
            {
              name: 'database alone',
              points: sizes.flatMap((x) => {
                const found = find(results, nameOf(x));
                return found === null ? [] : [{ x, y: found.database / found.unit }];
              }),
            },
          ],
        ),
      },
      data: { results, usage },
    };
  },
};
