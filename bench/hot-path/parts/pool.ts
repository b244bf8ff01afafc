/** Refreshes and logins as functions of how many connections to PostgreSQL the service has. */
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { refreshes, repeated } from '../chain.js';
import { startGround } from '../ground.js';
import type { Row } from '../rounds.js';
import { keyturn } from '../stored.js';
import { inStorm, type Storm } from '../storm.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { install } from '../workloads.js';

const POOLS = [2, 4, 10, 20];
const STORED = 8_000;
const QUICK_STORED = 800;
const QUICK_POOLS = [2, 10];
/** As it comes. */
const DEFAULT = 10;

const nameOf = (pool: number) => `DATABASE_POOL=${pool}`;
const nameInStorm = (pool: number) => `${nameOf(pool)}, while others log in`;

interface Pool {
  alone: Row;
  storm: Storm;
}

export const pool: Part = {
  about: 'refreshes, alone and while others log in, with 2 to 20 connections to PostgreSQL',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const { connections, quick } = bench.settings;
    const sizes = quick ? QUICK_POOLS : POOLS;
    const pools: Pool[] = [];
    // A process and a database for each: all of them are there while one is measured, and idle.
    for (const size of sizes) {
      const url = await ground.createDatabase(`pool_${size}`);
      const { pid, port } = await ground.startService(url, { env: { DATABASE_POOL: String(size) } });
      const { logins, parcel } = await install(url, port, quick ? QUICK_STORED : STORED, quick, bench.say);
      const workload = refreshes(keyturn(port), parcel());
      const alone = { name: nameOf(size), connections, serving: servedBy(ground, [pid]), workload };
      pools.push({ alone, storm: inStorm(nameInStorm(size), alone, repeated(port, logins, true)) });
    }
    const rows = [...pools.map(({ alone }) => alone), ...pools.map(({ storm }) => storm.row)];
    const results = await inTurns(rows, ground, bench);
    const against = (name: (pool: number) => string, size: number): [string, string, string][] => {
      const [one, usual] = [find(results, name(size)), find(results, name(DEFAULT))];
      const what = `${name(size)}, of ${DEFAULT}`;
      return [
        [`throughput, ${what}`, ratio(one?.rate, usual?.rate), ''],
        [`p99, ${what}`, ratio(one?.p99, usual?.p99), ''],
      ];
    };
    const others = sizes.filter((size) => size !== DEFAULT);
    return {
      tables: [
        tableOf(results, 'refresh'),
        ratios([
          ...others.flatMap((size) => against(nameOf, size)),
          ...others.flatMap((size) => against(nameInStorm, size)),
          ...pools.map(({ storm }, i): [string, string, string] => [
            `logins a second meanwhile, ${nameOf(sizes[i] ?? 0)}`,
            storm.rates
              .slice(1)
              .map((rate) => rate.toFixed(1))
              .join(', '),
            '',
          ]),
        ]),
      ],
      charts: {},
      data: { results, stormRates: pools.map(({ storm }) => storm.rates) },
    };
  },
};
