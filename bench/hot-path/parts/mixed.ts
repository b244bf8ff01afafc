/** Refreshes while a storm of logins goes on: does one starve the other? */
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { refreshes, repeated } from '../chain.js';
import { startGround } from '../ground.js';
import { keyturn } from '../stored.js';
import { inStorm } from '../storm.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { install } from '../workloads.js';

const STORED = 8_000;
const QUICK_STORED = 800;
const ALONE = 'refreshes alone';
const DURING = 'refreshes while others log in';

export const mixed: Part = {
  about: 'refreshes during a storm of logins, against refreshes alone',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url);
    const { connections, quick } = bench.settings;
    const { logins, parcel } = await install(url, port, quick ? QUICK_STORED : STORED, quick, bench.say);
    const workload = refreshes(keyturn(port), parcel());
    const alone = { name: ALONE, connections, serving: servedBy(ground, [pid]), workload };
    const storm = inStorm(DURING, alone, repeated(port, logins, true));
    const results = await inTurns([alone, storm.row], ground, bench);
    const [before, during] = [find(results, ALONE), find(results, DURING)];
    const logged = `${storm.rates.slice(1).map(Math.round).join(', ')} a second, in ${connections} connections more`;
    const sentAway = storm.sentAway();
    return {
      tables: [
        tableOf(results, 'refresh'),
        ratios([
          ['p99 during the storm, of p99 alone', ratio(during?.p99, before?.p99), 'at most 3'],
          ['throughput during the storm, of that alone', ratio(during?.rate, before?.rate), 'at least 0.5'],
          ['logins meanwhile', logged, ''],
          ['refreshes that failed during the storm', String(during?.errors ?? '–'), '0'],
          ['logins that were sent away', String(sentAway), ''],
        ]),
      ],
      charts: {},
      data: { results, stormRates: storm.rates, sentAway },
    };
  },
};
