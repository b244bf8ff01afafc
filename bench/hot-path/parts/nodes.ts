/** Everything that is asked of the service, as a function of the processes that share one PostgreSQL and one Redis. */
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { lines } from '../chart.js';
import { type Process, startGround } from '../ground.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { install, transposed, workloadsOf } from '../workloads.js';

const MOST = 3;
const STORED = 24_000;
const QUICK_STORED = 4_000;

const nameOf = (what: string, nodes: number) => `${what}, ${nodes} ${nodes === 1 ? 'process' : 'processes'}`;

export const nodes: Part = {
  about: 'all workloads, by 1 to 3 processes over one PostgreSQL and one Redis',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const first = await ground.startService(url);
    const services: Process[] = [first];
    while (services.length < MOST) services.push(await ground.startService(url));
    const { connections, quick } = bench.settings;
    const installation = await install(url, first.port, quick ? QUICK_STORED : STORED, quick, bench.say);
    const counts = services.map((_, i) => i + 1);
    const byCount = counts.map((count) => {
      const running = services.slice(0, count);
      const serving = servedBy(
        ground,
        running.map(({ pid }) => pid),
      );
      const ports = running.map(({ port }) => port);
      return Object.entries(workloadsOf(installation, ports, serving)).map(([name, row]) => ({
        ...row(connections),
        name: nameOf(name, count),
        of: name,
      }));
    });
    const [refreshed = [], ...rest] = transposed(byCount);
    const results = await inTurns([...refreshed, ...rest.flat()], ground, bench);
    const names = [refreshed, ...rest].map((rows) => rows[0]?.of ?? '');
    const costOf = (name: string, count: number) => find(results, nameOf(name, count))?.signatures;
    return {
      tables: [
        tableOf(results.slice(0, refreshed.length), 'refresh'),
        tableOf(results.slice(refreshed.length)),
        ratios(
          names.map((name) => [
            `CPU, ${name}: ${MOST} processes, of one`,
            ratio(costOf(name, MOST), costOf(name, 1)),
            '',
          ]),
        ),
      ],
      charts: {
        'nodes.svg': lines(
          'CPU of one operation, of that with one process',
          { x: 'processes on one core', y: 'of that with one' },
          names.map((name) => ({
            name,
            points: counts.flatMap((x) => {
              const [one, here] = [costOf(name, 1), costOf(name, x)];
              return one === undefined || here === undefined ? [] : [{ x, y: here / one }];
            }),
          })),
        ),
      },
      data: results,
    };
  },
};
