/** Rows of one table, measured in turns, so that what else the machine does meets all of them. */
import { quantile } from '../measurement.js';
import { type Loaded, loadWith, type Workload } from './chain.js';
import { inTime } from './in-time.js';
import { microsOf, residentMb, type Unit } from './processor.js';

/** Which processes serve. */
export interface Serving {
  pids: readonly number[];
  /** Null for what needs no database. */
  database: number | null;
}

export interface Row {
  name: string;
  connections: number;
  serving: Serving;
  /** Where the load does not come from here: an operation is what it says. */
  loadedBy?: (seconds: number) => Promise<Loaded>;
  workload?: Workload;
}

export interface Sample {
  /** Operations a second. */
  rate: number;
  /** Milliseconds. */
  p50: number;
  p95: number;
  p99: number;
  errors: number;
  /** Who was told to come again later: no operation, but what it costs is in the others'. */
  sentAway: number;
  /** Microseconds of the processor for one operation. */
  service: number;
  database: number;
  /** Microseconds for one RSA-2048 signature at that time. */
  unit: number;
  /** Of both, in units. */
  signatures: number;
  /** Resident set of the service, MB; of several processes the largest. */
  residentMb: number;
}

/** The medians of the rounds, with the least and the largest rate; or why there are none. */
export type Result = { name: string; connections: number } & (
  | { failed: string }
  | { median: Sample; rates: [number, number]; rounds: Sample[] }
);

export interface Pace {
  rounds: number;
  seconds: number;
  warmUp: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [below, above] = [Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2)];
  return ((sorted[below] ?? Number.NaN) + (sorted[above] ?? Number.NaN)) / 2;
}

/** More than a run and everything it waits for can take. Milliseconds. */
const LATE_MS = 90_000;
const LONGEST_REASON = 300;

async function sampleOf({ serving, loadedBy, workload, connections }: Row, seconds: number, unit: Unit) {
  const before = await unit();
  const clocks = () => ({
    service: serving.pids.reduce((sum, pid) => sum + microsOf(pid), 0),
    database: serving.database === null ? 0 : microsOf(serving.database),
  });
  const from = clocks();
  const work = loadedBy?.(seconds) ?? (workload && loadWith(workload, connections, seconds));
  if (work === undefined) throw new Error('nothing loads it');
  const { rate, latencies, operations = latencies.length, sentAway, errors } = await work;
  if (latencies.length === 0) throw new Error('nothing was answered');
  const to = clocks();
  const each = (micros: number) => micros / operations;
  const [service, database] = [each(to.service - from.service), each(to.database - from.database)];
  const micros = (before + (await unit())) / 2;
  return {
    rate,
    p50: quantile(latencies, 0.5),
    p95: quantile(latencies, 0.95),
    p99: quantile(latencies, 0.99),
    errors,
    sentAway,
    service,
    database,
    unit: micros,
    signatures: (service + database) / micros,
    residentMb: Math.max(...serving.pids.map(residentMb), 0),
  };
}

function summary({ name, connections }: Row, rounds: Sample[], errors: number): Result {
  const of = (field: keyof Sample) => median(rounds.map((sample) => sample[field]));
  const fields = Object.keys(rounds[0] ?? {}) as (keyof Sample)[];
  const rates = rounds.map(({ rate }) => rate);
  const medians = Object.fromEntries(fields.map((field) => [field, of(field)])) as unknown as Sample;
  return {
    ...{ name, connections },
    median: { ...medians, errors },
    rates: [Math.min(...rates), Math.max(...rates)],
    rounds,
  };
}

export interface Told {
  say(text: string): void;
  /** What goes on, but is not as it has to be. */
  fail(text: string): void;
}

/** A row that fails is left out of what follows. Errors are those of all rounds, and of the warm-up. */
export async function measureInTurns(
  rows: readonly Row[],
  { rounds, seconds, warmUp }: Pace,
  unit: Unit,
  { say, fail }: Told,
): Promise<Result[]> {
  const samples = new Map<Row, Sample[]>(rows.map((row) => [row, []]));
  const failures = new Map<Row, string>();
  const errors = new Map<Row, number>(rows.map((row) => [row, 0]));
  for (let round = 0; round <= rounds; round++) {
    for (const row of rows) {
      if (failures.has(row)) continue;
      const what = `${row.name}, ${row.connections} connections`;
      try {
        const length = round === 0 ? warmUp : seconds;
        const sample = await inTime(length * 1000 + LATE_MS, sampleOf(row, length, unit));
        if (round > 0) samples.get(row)?.push(sample);
        errors.set(row, (errors.get(row) ?? 0) + sample.errors);
        say(`${round === 0 ? 'warm-up' : `round ${round}`}: ${what}: ${sample.rate.toFixed(0)}/s`);
      } catch (error) {
        // A program that fails quotes all that it has said.
        const reason = (error as Error).message.slice(0, LONGEST_REASON).replaceAll('\n', ' ');
        failures.set(row, reason);
        fail(`${what}: ${reason}`);
      }
    }
  }
  return rows.map((row) => {
    const { name, connections } = row;
    const failed = failures.get(row);
    if (failed !== undefined) return { name, connections, failed };
    const wrong = errors.get(row) ?? 0;
    if (wrong > 0) fail(`${name}, ${connections} connections: ${wrong} errors`);
    return summary(row, samples.get(row) ?? [], wrong);
  });
}
