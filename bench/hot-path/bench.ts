/** What the parts have in common. */
import { fileURLToPath } from 'node:url';
import type { Scope } from '../../test/support/scope.js';
import type { Ground } from './ground.js';
import { measureInTurns, type Pace, type Result, type Row, type Serving, type Told } from './rounds.js';

export interface Table {
  columns: string[];
  rows: string[][];
}

export interface Report {
  tables: Table[];
  /** How it was measured, where that is not by medians of rounds. */
  how?: string;
  /** Files for docs/performance/. */
  charts: Record<string, string>;
  /** All that was measured. */
  data: unknown;
}

export interface Settings extends Pace {
  quick: boolean;
  connections: number;
}

export interface Bench extends Told {
  scope: Scope;
  settings: Settings;
}

/** One table of docs/performance.md, with what belongs to it. */
export interface Part {
  about: string;
  measure(bench: Bench): Promise<Report>;
}

export const program = (name: string): string => fileURLToPath(new URL(`${name}.js`, import.meta.url));

export const servedBy = (ground: Ground, pids: readonly number[], withDatabase = true): Serving => ({
  pids,
  database: withDatabase ? ground.database.pid : null,
});

/** Of what cannot be started here: the others are measured all the same. */
export const failedRow = (name: string, connections: number, reason: unknown): Row => ({
  name,
  connections,
  serving: { pids: [], database: null },
  loadedBy: () => Promise.reject(reason),
});

export const inTurns = (rows: readonly Row[], ground: Ground, bench: Bench): Promise<Result[]> =>
  measureInTurns(rows, bench.settings, ground.unit, bench);
