/** What comes of two refreshes with one token at once, and of one whose answer was lost; and what two at once cost. */
import { type Bench, inTurns, type Part, servedBy } from '../bench.js';
import { type Contender, OURS, startKeyturn } from '../contenders.js';
import { type Ground, startGround } from '../ground.js';
import { inTime } from '../in-time.js';
import { startPeers } from '../peers.js';
import { cellsOf, knowsKeys, outcomesOf, schedules, tallied } from '../schedules.js';
import { find, ratio, ratios, tableOf } from '../tables.js';
import { install, REFRESH, TWICE, workloadsOf } from '../workloads.js';

const PAIRS = 320;
const QUICK_PAIRS = 32;
const AT_ONCE = [1, 16];
/** For all pairs of a row. Milliseconds. */
const PATIENCE_MS = 300_000;
const STORED = 8_000;
const QUICK_STORED = 800;

async function outcomes(contenders: readonly Contender[], bench: Bench) {
  const pairs = bench.settings.quick ? QUICK_PAIRS : PAIRS;
  const rows: string[][] = [];
  const data: Record<string, unknown>[] = [];
  for (const contender of contenders)
    for (const [name, schedule] of Object.entries(schedules)) {
      if (name.endsWith('one key') && !knowsKeys(contender.protocol)) continue;
      for (const atOnce of AT_ONCE) {
        const first = [contender.row.name, name, String(atOnce)];
        bench.say(first.join(', '));
        try {
          const outcomes = await inTime(PATIENCE_MS, outcomesOf(contender, schedule, atOnce, pairs));
          rows.push([...first, ...cellsOf(outcomes)]);
          const wrong = outcomes.filter(({ refused, chains }) => refused > 0 || chains !== 1).length;
          if (contender.row.name === OURS && wrong > 0) bench.fail(`${first.join(', ')}: ${wrong} sessions`);
          data.push({ contender: contender.row.name, schedule: name, atOnce, outcomes: tallied(outcomes) });
        } catch (error) {
          bench.fail(`${first.join(', ')}: ${(error as Error).message}`);
          rows.push([...first, `failed: ${(error as Error).message}`, '', '', '', '']);
        }
      }
    }
  const columns = ['who', 'what', 'at once', 'sessions', 'refused', 'one live chain', 'several', 'dead sessions'];
  return { table: { columns, rows }, data };
}

/** Against refreshes that are sent once: as many requests are under way, of half as many sessions. */
async function costs(ground: Ground, bench: Bench) {
  const { quick } = bench.settings;
  const url = await ground.createDatabase('twice');
  const { pid, port } = await ground.startService(url);
  const installation = await install(url, port, quick ? QUICK_STORED : STORED, quick, bench.say);
  const { [REFRESH]: once, [TWICE]: twice } = workloadsOf(installation, [port], servedBy(ground, [pid]));
  const rows = AT_ONCE.flatMap((pairs) => [once(2 * pairs), twice(2 * pairs)]);
  return inTurns(rows, ground, bench);
}

export const parallel: Part = {
  about: 'two refreshes with one token at once, and lost answers',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const contenders = [await startKeyturn(ground, bench), ...(await startPeers(ground, bench))];
    const { table, data } = await outcomes(contenders, bench);
    const results = await costs(ground, bench);
    const { rounds, seconds, warmUp } = bench.settings;
    const against = (pairs: number) => {
      const here = results.filter(({ connections }) => connections === 2 * pairs);
      return ratio(find(here, TWICE)?.signatures, find(here, REFRESH)?.signatures);
    };
    return {
      tables: [
        table,
        tableOf(results, 'refresh'),
        ratios(
          AT_ONCE.map((pairs) => [
            `CPU of a request, each sent twice, ${2 * pairs} connections, of once`,
            against(pairs),
            '',
          ]),
        ),
      ],
      how: `outcomes: each row once; the rest: medians of ${rounds} rounds of ${seconds} s, after ${warmUp} s of warm-up`,
      charts: {},
      data: { outcomes: data, results },
    };
  },
};
