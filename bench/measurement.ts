/** What every measurement has in common. */
import type { Scope } from '../test/support/scope.js';

export interface Measurement {
  /** For `--help`: what is measured. */
  about: string;
  /** Numbers that can be given as `--name N`, with their defaults. */
  options: Record<string, number>;
  /** The file in docs/ that keeps the table, `bench.md` by default. */
  document?: string;
  /** Resolves to the lines of a table. Progress goes to `say`, an image for docs/ to `draw`. */
  measure(
    scope: Scope,
    options: Record<string, number>,
    say: (text: string) => void,
    draw: (file: string, svg: string) => void,
  ): Promise<Record<string, string>>;
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(Math.floor(q * sorted.length), sorted.length - 1)] ?? Number.NaN;
}

export const ms = (value: number): string => `${value.toFixed(1)} ms`;
export const count = (value: number): string => Math.round(value).toLocaleString('en');
