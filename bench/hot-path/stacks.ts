/** What the thread that runs JavaScript was doing each time that `perf` looked: its stacks, divided by what is on them. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from '../../test/support/process.js';
import type { Scope } from '../../test/support/scope.js';
import { stopProcess } from '../../test/support/servers.js';
import { inTime } from './in-time.js';

const LOOKS_A_SECOND = 1999;
const MOST_OUTPUT = 2 ** 30;
/** Of what was recorded, and for it to be written. */
const READING_MS = 300_000;

/** For V8, so that `perf` knows what it has compiled. */
export const PROFILED = ['--perf-basic-prof', '--interpreted-frames-native-stack'];

export interface Frame {
  symbol: string;
  /** The file that the code is from; of JavaScript it is part of the symbol. */
  from: string;
}

/** Innermost first. */
export type Stack = readonly Frame[];

/** Resolves to the stacks of the main thread, when `work` is over. */
export async function stacksOf(pid: number, scope: Scope, work: () => Promise<unknown>): Promise<Stack[]> {
  await promisify(execFile)('perf', ['--version']).catch(() => Promise.reject(new Error('perf is needed')));
  const path = join(temporaryFolder(scope), 'perf.data');
  const how = ['record', '-o', path, '-e', 'cpu-clock', '-F', String(LOOKS_A_SECOND), '-g', '-t', String(pid)];
  const perf = spawn('perf', how, { stdio: 'ignore' });
  scope.teardown(() => stopProcess(perf, 'SIGTERM'));
  const ended = once(perf, 'exit');
  await work();
  if (perf.exitCode !== null) throw new Error('perf cannot be used here');
  perf.kill('SIGINT');
  await inTime(READING_MS, ended);
  const script = ['script', '-i', path, '-F', 'ip,sym,dso'];
  const text = execFileSync('perf', script, {
    encoding: 'utf8',
    maxBuffer: MOST_OUTPUT,
    timeout: READING_MS,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  rmSync(`/tmp/perf-${pid}.map`, { force: true });
  return text
    .split('\n\n')
    .map((stack) =>
      stack.split('\n').flatMap((line) => {
        const [, symbol = '', from = ''] = /^\s*[0-9a-f]+ (.*) \((.*)\)$/.exec(line) ?? [];
        return symbol === '' ? [] : [{ symbol, from }];
      }),
    )
    .filter((stack) => stack.length > 0);
}

export interface Share {
  name: string;
  /** Of all looks. */
  share: number;
}

export function sharesOf(stacks: readonly Stack[], nameOf: (stack: Stack) => string): Share[] {
  const counts = new Map<string, number>();
  for (const stack of stacks) {
    const name = nameOf(stack);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, times]) => ({ name, share: times / stacks.length })).sort((a, b) => b.share - a.share);
}

/** Of JavaScript, `function path:line`, the path from the folder of the package or of the sources on; else null. */
export function placeOf({ symbol }: Frame): string | null {
  const [, name = '', path = '', line = ''] = /^JS:\S?(\S*) (.+):(\d+):\d+$/.exec(symbol) ?? [];
  if (path === '') return null;
  const short = path.replace(/^.*\/node_modules\//, '').replace(/^.*\/dist\/(?=src\/)/, '');
  return `${name || '(anonymous)'} ${short}:${line}`;
}
