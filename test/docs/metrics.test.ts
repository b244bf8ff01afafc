import { readFileSync } from 'node:fs';
import t from 'tap';
import { createMetrics } from '../../src/adapters/prometheus/metrics.js';
import { countedOutcomes } from '../../src/domain/refresh-outcome.js';
import { renewalOutcomes } from '../../src/domain/sliding-sessions.js';

const document = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
const metrics = createMetrics({ pool: () => ({ total: 1, idle: 1, waiting: 0 }) });
metrics.watchRevocations({ size: () => 0, isCurrent: () => true });

t.test('docs/metrics.md describes the metrics that there are, and names no others', async (t) => {
  const names = [...(await metrics.text()).matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name);
  const described = document.matchAll(/\bkeyturn_\w+?(?=_bucket\b|\W)/g);
  t.same([...new Set([...described].map(([name]) => name))].sort(), names.sort());
});

t.test(
  'docs/metrics.md has every outcome of a refresh and of a renewal in its tables, and its alerts name no others',
  async (t) => {
    const rows = [...document.matchAll(/^\| `(\w+)` /gm)].map(([, outcome]) => outcome);
    t.same(rows.sort(), [...countedOutcomes, ...renewalOutcomes].sort());
    const watched = [...document.matchAll(/outcome=~?"([\w|]+)"/g)].flatMap(([, value = '']) => value.split('|'));
    t.ok(watched.length > 0);
    for (const outcome of watched) t.ok(rows.includes(outcome), outcome);
  },
);
