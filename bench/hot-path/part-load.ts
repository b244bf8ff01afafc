/** Refreshes as a function of how many come at once. */
import { type Bench, inTurns, type Part } from './bench.js';
import { type Line, lines } from './chart.js';
import { startBareRotation, startKeyturn } from './contenders.js';
import { startGround } from './ground.js';
import type { Result, Sample } from './rounds.js';
import { tableOf } from './tables.js';

const LOADS = [1, 4, 16, 32, 64, 128, 256];
const QUICK_LOADS = [1, 32];

const lineOf = (results: readonly Result[], name: string, of: (sample: Sample) => number): Line => ({
  name,
  points: results.flatMap((result) =>
    result.name === name && !('failed' in result) ? [{ x: result.connections, y: of(result.median) }] : [],
  ),
});

export const load: Part = {
  about: 'refreshes by 1 to 256 connections at once',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const contenders = [(await startKeyturn(ground, bench)).row, await startBareRotation(ground, bench)];
    const loads = bench.settings.quick ? QUICK_LOADS : LOADS;
    const rows = contenders.flatMap((row) => loads.map((connections) => ({ ...row, connections })));
    const results = await inTurns(rows, ground, bench);
    const chart = (title: string, y: string, of: (sample: Sample) => number) =>
      lines(
        title,
        { x: 'connections', y },
        contenders.map(({ name }) => lineOf(results, name, of)),
      );
    return {
      tables: [tableOf(results, 'refresh')],
      charts: {
        'load-rate.svg': chart('Refreshes a second on one core', 'refreshes a second', ({ rate }) => rate),
        'load-latency.svg': chart('How long a refresh takes, p99', 'ms', ({ p99 }) => p99),
      },
      data: results,
    };
  },
};
