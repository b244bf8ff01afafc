/** How soon a process serves, and how large it is. */
import { readFileSync } from 'node:fs';
import type { Bench, Part } from '../bench.js';
import { loadWithoutErrors, refreshes } from '../chain.js';
import { startGround } from '../ground.js';
import { residentMb } from '../processor.js';
import { median } from '../rounds.js';
import { keyturn, spread, store } from '../stored.js';
import { ratios } from '../tables.js';

const STARTS = 7;
const QUICK_STARTS = 2;
const STORED = 1_000;

export const start: Part = {
  about: 'start on a migrated database, and memory',
  async measure({ scope, settings, say }: Bench) {
    const ground = await startGround(scope);
    const url = await ground.createDatabase('keyturn');
    const first = await ground.startService(url);
    await first.stop();
    const took: number[] = [];
    for (let i = 0; i < (settings.quick ? QUICK_STARTS : STARTS); i++) {
      const { readyMs, stop } = await ground.startService(url);
      took.push(readyMs);
      say(`ready after ${readyMs.toFixed(0)} ms`);
      await stop();
    }
    const { pid, port } = await ground.startService(url);
    const idle = residentMb(pid);
    await store(url, STORED, say);
    const { connections, seconds, rounds } = settings;
    const workload = refreshes(keyturn(port), spread(STORED, STORED));
    await loadWithoutErrors(workload, connections, seconds * rounds);
    const [loaded, most] = [residentMb(pid), peakMb(pid)];
    return {
      tables: [
        ratios([
          ['from the start of the process to /readyz, ms', median(took).toFixed(0), 'at most 2000'],
          ['… the first time, with the migrations', first.readyMs.toFixed(0), ''],
          ['resident set when it is ready, MB', idle.toFixed(0), ''],
          ['resident set under load, MB', loaded.toFixed(0), 'at most 120'],
          ['the most that it ever had, MB', most.toFixed(0), ''],
        ]),
      ],
      how: `median of ${took.length} starts; memory after ${seconds * rounds} s of refreshes in ${connections} connections`,
      charts: {},
      data: { took, first: first.readyMs, idle, loaded, most },
    };
  },
};

const peakMb = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
