/** Whose time of the processor was it, and what is the unit: read from /proc, so on Linux alone. */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Scope } from '../../test/support/scope.js';
import { stopProcess } from '../../test/support/servers.js';
import { pin } from '../pinned.js';
import { inTime } from './in-time.js';

/** All that is measured shares a core, its database and Redis included; who loads it has another. */
const MEASURED_CORE = 0;

/** What the machine calls a core may be half of one: the processors that share the measured one's, such as `0,4` or `0-1`. */
function withMeasuredCore(): Set<number> {
  const path = `/sys/devices/system/cpu/cpu${MEASURED_CORE}/topology/thread_siblings_list`;
  const ranges = existsSync(path) ? readFileSync(path, 'utf8').trim().split(',') : [];
  const siblings = ranges.flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  return new Set([MEASURED_CORE, ...siblings]);
}

function coreBeside(): number {
  const taken = withMeasuredCore();
  let core = MEASURED_CORE;
  while (taken.has(core)) core++;
  return core;
}
const LOADING_CORE = coreBeside();

/** False where processes cannot be placed. */
export const isPlaced = (): boolean => pin(process.pid, LOADING_CORE);

/** What `start` starts is measured. */
export async function onMeasuredCore<T>(start: () => Promise<T>): Promise<T> {
  if (!isPlaced()) return start();
  pin(process.pid, MEASURED_CORE);
  try {
    return await start();
  } finally {
    pin(process.pid, LOADING_CORE);
  }
}

const MICROS_A_TICK = 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

interface Stat {
  parent: number;
  /** Of the process, microseconds. */
  own: number;
  /** Of its children that have ended. */
  ended: number;
}

function statOf(path: string): Stat | null {
  try {
    // The name in brackets may hold anything.
    const fields = readFileSync(path, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
      .map(Number);
    const [parent = 0, utime = 0, stime = 0, cutime = 0, cstime = 0] = [1, 11, 12, 13, 14].map((at) => fields[at]);
    return { parent, own: (utime + stime) * MICROS_A_TICK, ended: (cutime + cstime) * MICROS_A_TICK };
  } catch {
    return null;
  }
}

/** The process and all that it started. */
function below(root: number): Map<number, Stat> {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(`/proc/${name}/stat`) : null;
    if (stat !== null) stats.set(Number(name), stat);
  }
  const isBelow = (pid: number): boolean => pid === root || (pid > 1 && isBelow(stats.get(pid)?.parent ?? 0));
  return new Map([...stats].filter(([pid]) => isBelow(pid)));
}

/** Microseconds of a process, of all that it started, and of what of these has ended. */
export const microsOf = (root: number): number =>
  [...below(root).values()].reduce((sum, { own, ended }) => sum + own + ended, 0);

export interface ByThread {
  /** Which runs JavaScript. */
  main: number;
  /** Which sign and hash. */
  libuv: number;
  /** V8's own, which compile and collect garbage. */
  others: number;
}

/** libuv's threads are begun after all others, with the first work for them. */
const LIBUV_THREADS = 4;

/** Microseconds. */
export function microsByThread(pid: number): ByThread {
  const ids = readdirSync(`/proc/${pid}/task`).map(Number);
  const of = (some: readonly number[]) =>
    some.reduce((sum, id) => sum + (statOf(`/proc/${pid}/task/${id}/stat`)?.own ?? 0), 0);
  const workers = ids.filter((id) => id !== pid).sort((a, b) => a - b);
  return { main: of([pid]), libuv: of(workers.slice(-LIBUV_THREADS)), others: of(workers.slice(0, -LIBUV_THREADS)) };
}

/** Resident set, MB. */
export const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Microseconds of the processor for one RSA-2048 signature, now. */
export type Unit = () => Promise<number>;

/** More than it signs for, on a busy machine. */
const SIGNED_MS = 30_000;

/** In a process of its own, on the core where everything else is measured. */
export async function startUnit(scope: Scope): Promise<Unit> {
  const child = fork(fileURLToPath(new URL('signature.js', import.meta.url)), { execArgv: [] });
  scope.teardown(() => stopProcess(child, 'SIGTERM'));
  return async () => {
    const answer = inTime(SIGNED_MS, once(child, 'message'));
    child.send('measure');
    return Number((await answer)[0]);
  };
}
