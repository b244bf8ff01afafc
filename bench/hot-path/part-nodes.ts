/** Refreshes as a function of the processes that share one PostgreSQL and one Redis. */
import { type Bench, inTurns, type Part, servedBy } from './bench.js';
import { refreshes } from './chain.js';
import { type Process, startGround } from './ground.js';
import type { Row } from './rounds.js';
import { keyturn, spread, store } from './stored.js';
import { find, ratio, ratios, tableOf } from './tables.js';

const MOST = 3;
const STORED = 10_000;

const nameOf = (nodes: number) => (nodes === 1 ? '1 process' : `${nodes} processes`);

export const nodes: Part = {
  about: 'refreshes by 1 to 3 processes over one PostgreSQL and one Redis',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const services: Process[] = [];
    for (let i = 0; i < MOST; i++) services.push(await ground.startService(url));
    const { connections, quick } = bench.settings;
    const stored = quick ? 1_000 : STORED;
    await store(url, MOST * stored, bench.say);
    const rows: Row[] = services.map((_, i) => {
      const running = services.slice(0, i + 1);
      const portOf = (connection: number) => running[connection % running.length]?.port ?? 0;
      return {
        name: nameOf(i + 1),
        connections,
        serving: servedBy(
          ground,
          running.map(({ pid }) => pid),
        ),
        // Each row has sessions of its own, and each session meets all processes.
        workload: refreshes(keyturn(portOf), spread(MOST * stored, stored, i)),
      };
    });
    const results = await inTurns(rows, ground, bench);
    const [one, three] = [find(results, nameOf(1)), find(results, nameOf(MOST))];
    return {
      tables: [
        tableOf(results, 'refresh'),
        ratios([[`CPU of a refresh, ${MOST} processes, of one`, ratio(three?.signatures, one?.signatures), '']]),
      ],
      charts: {},
      data: results,
    };
  },
};
