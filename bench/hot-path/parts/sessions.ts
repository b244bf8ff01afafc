/** Everything that is asked of the service, as a function of how many sessions are stored. */
import { count } from '../../measurement.js';
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { refreshes } from '../chain.js';
import { lines } from '../chart.js';
import { type Ground, queryOnce, startGround } from '../ground.js';
import type { Row } from '../rounds.js';
import { keyturn, spread } from '../stored.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { install, REFRESH, transposed, workloadsOf } from '../workloads.js';

const SIZES = [10_000, 1_000_000, 10_000_000];
const QUICK_SIZES = [1_000, 10_000];
/** Where each refresh is of another session: one in so many is used, none of those that are used otherwise. */
const ONE_IN = 10;

interface Stored {
  url: string;
  /** The refresh first. As many sessions are in use at all sizes, spread over all that there are: it is the store alone that grows. */
  rows: Row[];
  /** No page that is read or written was in use before. */
  hardest: Row;
}

/** A database and a process of the service of its own. */
async function startStored(ground: Ground, stored: number, bench: Bench): Promise<Stored> {
  const url = await ground.createDatabase(`keyturn_${stored}`);
  const { pid, port } = await ground.startService(url);
  const { connections, quick } = bench.settings;
  const serving = servedBy(ground, [pid]);
  const all = workloadsOf(await install(url, port, stored, quick, bench.say), [port], serving);
  return {
    url,
    rows: Object.entries(all).map(([name, row]) => ({ ...row(connections), name: nameOf(stored, name) })),
    hardest: {
      ...{ name: nameOfHardest(stored), connections, serving },
      workload: refreshes(keyturn(port), spread(stored, stored / ONE_IN, ONE_IN / 2)),
    },
  };
}

const nameOf = (stored: number, what = REFRESH) => `${what === REFRESH ? '' : `${what}, `}${count(stored)} stored`;
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
  about: 'all workloads, with 10 thousand, 1 million and 10 million sessions stored',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const sizes = bench.settings.quick ? QUICK_SIZES : SIZES;
    const stored: Stored[] = [];
    for (const size of sizes) stored.push(await startStored(ground, size, bench));
    const [least = 0, most = 0] = [sizes[0], sizes.at(-1)];
    const last = stored.at(-1);
    const [ofRefreshes = [], ...rest] = transposed(stored.map(({ rows }) => rows));
    const refreshed = [...ofRefreshes, ...(last === undefined ? [] : [last.hardest])];
    const results = await inTurns([...refreshed, ...rest.flat()], ground, bench);
    const usage = await Promise.all(stored.map(({ url }) => usageOf(url)));
    const [few, many] = [nameOf(least), nameOf(most)].map((name) => find(results, name));
    const hardest = find(results, nameOfHardest(most));
    const share = ({ updates, heapOnly }: { updates: number; heapOnly: number }) =>
      `${((100 * heapOnly) / updates).toFixed(1)} %`;
    const between = `${count(most)} stored, of ${count(least)}`;
    return {
      tables: [
        tableOf(results.slice(0, refreshed.length), 'refresh'),
        tableOf(results.slice(refreshed.length)),
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
