/** The verifier library against others: `npm run bench -- checks`, as a part of the whole. */
import { checks } from '../checks.js';
import type { Bench, Part } from './bench.js';

const FULL = { live: 1_000_000, rows: 1_000_000, tokens: 12_000, rounds: 8 };
const QUICK = { live: 1_000, rows: 1_000, tokens: 2_000, rounds: 2 };

export const verify: Part = {
  about: 'checks of tokens in a service, by keyturn/verifier and by others',
  async measure({ scope, settings, say }: Bench) {
    const rows = await checks.measure(scope, settings.quick ? QUICK : FULL, say, () => {});
    const how = 'medians of slices in turns, in one process';
    return { tables: [{ columns: ['checks', ''], rows: Object.entries(rows) }], how, charts: {}, data: rows };
  },
};
