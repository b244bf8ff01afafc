/** Everything that is asked of the service, as a function of how much of it comes at once. */
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { type Line, lines } from '../chart.js';
import { startBareRotation } from '../contenders.js';
import { startGround } from '../ground.js';
import type { Result, Row, Sample } from '../rounds.js';
import { tableOf } from '../tables.js';
import { install, REFRESH, workloadsOf } from '../workloads.js';

const LOADS = [1, 4, 16, 32, 64, 128, 256];
/** Of all but the refresh, which is what this is about. */
const FEWER_LOADS = [1, 16, 64, 256];
const QUICK_LOADS = [1, 32];
const STORED = 20_000;
const QUICK_STORED = 2_000;

const OURS = 'Keyturn, as shipped';

const lineOf = (results: readonly Result[], name: string, of: (sample: Sample) => number): Line => ({
  name,
  points: results.flatMap((result) =>
    result.name === name && !('failed' in result) ? [{ x: result.connections, y: of(result.median) }] : [],
  ),
});

/** Each in parts of its own greatest throughput, since these are a thousand times apart. */
const sharesOf = (results: readonly Result[], names: readonly string[]): Line[] =>
  names.map((name) => {
    const { points } = lineOf(results, name, ({ rate }) => rate);
    const most = Math.max(...points.map(({ y }) => y));
    return { name, points: points.map(({ x, y }) => ({ x, y: y / most })) };
  });

export const load: Part = {
  about: 'all workloads, by 1 to 256 connections at once',
  async measure(bench: Bench) {
    const { quick } = bench.settings;
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const { pid, port } = await ground.startService(url);
    const installation = await install(url, port, quick ? QUICK_STORED : STORED, quick, bench.say);
    const { [REFRESH]: refresh, ...others } = workloadsOf(installation, [port], servedBy(ground, [pid]));
    const bare = await startBareRotation(ground, bench);
    const loads = quick ? QUICK_LOADS : LOADS;
    const refreshed: Row[] = [
      ...loads.map((connections) => ({ ...refresh(connections), name: OURS })),
      ...loads.map((connections) => ({ ...bare, connections })),
    ];
    const rest = Object.values(others).flatMap((row) =>
      (quick ? QUICK_LOADS : FEWER_LOADS).map((connections): Row => row(connections)),
    );
    const results = await inTurns([...refreshed, ...rest], ground, bench);
    const ofRefreshes = results.slice(0, refreshed.length);
    const chart = (title: string, y: string, of: (sample: Sample) => number) =>
      lines(
        title,
        { x: 'connections', y },
        [OURS, bare.name].map((name) => lineOf(ofRefreshes, name, of)),
      );
    return {
      tables: [tableOf(ofRefreshes, 'refresh'), tableOf(results.slice(refreshed.length))],
      charts: {
        'load-rate.svg': chart('Refreshes a second on one core', 'refreshes a second', ({ rate }) => rate),
        'load-latency.svg': chart('How long a refresh takes, p99', 'ms', ({ p99 }) => p99),
        'load-all.svg': lines(
          'Throughput of each workload, of its greatest',
          { x: 'connections', y: 'of the greatest' },
          sharesOf(results, [OURS, ...Object.keys(others)]),
        ),
      },
      data: results,
    };
  },
};
