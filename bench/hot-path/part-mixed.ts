/** Refreshes while a storm of logins goes on: does one starve the other? */
import { load } from '../http-load.js';
import { type Bench, inTurns, type Part, servedBy } from './bench.js';
import { refreshes, repeated } from './chain.js';
import { startGround } from './ground.js';
import { startLogins } from './part-login.js';
import type { Row } from './rounds.js';
import { keyturn, spread } from './stored.js';
import { find, ratio, ratios, tableOf } from './tables.js';

const ALONE = 'refreshes alone';
const DURING = 'refreshes while others log in';
/** Those that are there for the logins: four of each user. */
const SESSIONS = 800;

export const mixed: Part = {
  about: 'refreshes during a storm of logins, against refreshes alone',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url);
    const logins = repeated(port, await startLogins(url, port, bench));
    const { connections } = bench.settings;
    const sessions = spread(SESSIONS, SESSIONS);
    const alone = refreshes(keyturn(port), sessions);
    const row = { connections, serving: servedBy(ground, [pid]) };
    const stormRates: number[] = [];
    let errors = 0;
    const rows: Row[] = [
      { ...row, name: ALONE, workload: alone },
      {
        ...row,
        name: DURING,
        async loadedBy(seconds) {
          const [refreshing, storming] = [alone.begin(connections), logins.begin(connections)];
          const [result, storm] = await Promise.all([
            load({ ...refreshing, connections, seconds }),
            load({ ...storming, connections, seconds }),
          ]);
          stormRates.push(storm.rate);
          errors += refreshing.errors() + storming.errors();
          return result;
        },
      },
    ];
    const results = await inTurns(rows, ground, bench);
    const [before, during] = [find(results, ALONE), find(results, DURING)];
    const logged = `${stormRates.slice(1).map(Math.round).join(', ')} a second, in ${connections} connections more`;
    return {
      tables: [
        tableOf(results, 'refresh'),
        ratios([
          ['p99 during the storm, of p99 alone', ratio(during?.p99, before?.p99), 'at most 3'],
          ['throughput during the storm, of that alone', ratio(during?.rate, before?.rate), 'at least 0.5'],
          ['logins meanwhile', logged, ''],
          ['errors during the storm', String(errors), '0'],
        ]),
      ],
      charts: {},
      data: { results, stormRates },
    };
  },
};
