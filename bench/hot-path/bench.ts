/** What the parts have in common. */
import { fileURLToPath } from 'node:url';
import type { Scope } from '../../test/support/scope.js';
import type { Ground } from './ground.js';
import { measureInTurns, type Pace, type Result, type Row, type Serving } from './rounds.js';

export interface Table {
  columns: string[];
  rows: string[][];
}

export interface Report {
  tables: Table[];
  /** Files for docs/performance/. */
  charts: Record<string, string>;
  /** All that was measured. */
  data: unknown;
}

export interface Settings extends Pace {
  quick: boolean;
  connections: number;
}

export interface Bench {
  scope: Scope;
  settings: Settings;
  say(text: string): void;
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

export const inTurns = (rows: readonly Row[], ground: Ground, { settings, say }: Bench): Promise<Result[]> =>
  measureInTurns(rows, settings, ground.unit, say);
