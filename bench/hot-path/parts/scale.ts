/** How far it goes, on paper: what the other parts have measured and kept, times as many sessions as are asked for. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { count } from '../../measurement.js';
import type { Part } from '../bench.js';
import { OURS } from '../contenders.js';
import type { Result } from '../rounds.js';
import type { Usage } from './storage.js';

const KEPT = fileURLToPath(new URL('../../../../docs/performance/', import.meta.url));

/** Of the sessions that are stored, those in use at the busiest time; and how often one of them is refreshed, seconds. */
const IN_USE = 0.05;
const INTERVAL_S = 900;
/** Of a core's time, what is planned with: the rest is for peaks, and for all that is no refresh. */
const PLANNED = 0.5;
/** The largest PostgreSQL that is planned with. */
const DATABASE_CORES = 32;
const DATABASE_BYTES = 2e12;

const STORED = [1e6, 1e7, 1e8, 1e9];

function read<T>(part: string): T {
  try {
    return JSON.parse(readFileSync(`${KEPT}${part}.json`, 'utf8')).data;
  } catch {
    throw new Error(`measure ${part} first, with --write`);
  }
}

const cores = (value: number): string => (value < 0.1 ? '< 0.1' : value < 10 ? value.toFixed(1) : count(value));

export const scale: Part = {
  about: 'on paper: from the kept results of refresh and storage, up to a billion sessions',
  async measure() {
    const ours = read<Result[]>('refresh').find(({ name }) => name === OURS);
    const { stored, after, bytesAhead } = read<{ stored: number; after: Usage; bytesAhead: number }>('storage');
    if (ours === undefined || 'failed' in ours) throw new Error('there is no result of a refresh');
    const { service, database } = ours.median;
    const bytesEach = (after.table + after.indexes) / stored;
    const rows = STORED.map((sessions) => {
      const rate = (sessions * IN_USE) / INTERVAL_S;
      const ofService = (rate * service) / 1e6 / PLANNED;
      const ofDatabase = (rate * database) / 1e6 / PLANNED;
      const bytes = sessions * bytesEach;
      const databases = Math.max(Math.ceil(ofDatabase / DATABASE_CORES), Math.ceil(bytes / DATABASE_BYTES));
      return [
        count(sessions),
        count(rate),
        cores(ofService),
        cores(ofDatabase),
        `${count(bytes / 1e9)} GB`,
        `${((rate * bytesAhead) / 1e6).toFixed(1)} MB/s`,
        String(databases),
      ];
    });
    const columns = [
      'sessions stored',
      'refreshes a second',
      'cores, service',
      'cores, PostgreSQL',
      'sessions on disk',
      'write-ahead log',
      'PostgreSQL servers',
    ];
    const how = 'reckoned from what is kept of refresh and storage';
    return { tables: [{ columns, rows }], how, charts: {}, data: { IN_USE, INTERVAL_S, PLANNED, bytesEach, rows } };
  },
};
