/** How results are shown: the same columns in every table. */
import { count } from '../measurement.js';
import type { Table } from './bench.js';
import type { Result, Sample } from './rounds.js';

export const columns = [
  'connections',
  'a second (least to most)',
  'p50, p95, p99 in ms',
  'errors',
  'service, µs',
  'database, µs',
  'both, in signatures',
  'memory, MB',
];

const ms = (value: number): string => (value < 1 ? value.toPrecision(2) : value.toFixed(value < 10 ? 1 : 0));

const micros = (value: number): string => (value > 0 && value < 10 ? value.toFixed(1) : count(value));

export const cellsOf = (result: Result): string[] => {
  if ('failed' in result) return [String(result.connections), `failed: ${result.failed}`, '', '', '', '', '', ''];
  const { connections, median: m, rates } = result;
  return [
    String(connections),
    `${count(m.rate)} (${rates.map(count).join(' to ')})`,
    [m.p50, m.p95, m.p99].map(ms).join(', '),
    count(m.errors) + (m.sentAway > 0 ? `; ${count(m.sentAway)} sent away` : ''),
    micros(m.service),
    micros(m.database),
    m.signatures < 0.1 ? m.signatures.toPrecision(1) : m.signatures.toFixed(2),
    m.residentMb === 0 ? '' : count(m.residentMb),
  ];
};

export const tableOf = (results: readonly Result[], first = 'what'): Table => ({
  columns: [first, ...columns],
  rows: results.map((result) => [result.name, ...cellsOf(result)]),
});

export const find = (results: readonly Result[], name: string): Sample | null => {
  const found = results.find((result) => result.name === name);
  return found === undefined || 'failed' in found ? null : found.median;
};

/** `0.87` of the one in the other; a dash where one of them failed. */
export const ratio = (part: number | undefined, whole: number | undefined): string =>
  part === undefined || whole === undefined ? '–' : (part / whole).toFixed(2);

export const ratios = (rows: readonly (readonly [string, string, string])[]): Table => ({
  columns: ['ratio', 'measured', 'target'],
  rows: rows.map((row) => [...row]),
});

export const markdown = ({ columns, rows }: Table): string =>
  [columns, columns.map(() => '-'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
