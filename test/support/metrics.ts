import type { PrometheusMetrics } from '../../src/adapters/prometheus/metrics.js';

/** The samples of one metric: what is between the braces, and the value. */
export const samplesOf = (text: string, name: string): Record<string, number> =>
  Object.fromEntries(
    [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].flatMap(([, metric, labels = '', value]) =>
      metric === name ? [[labels, Number(value)]] : [],
    ),
  );

/** Refreshes by outcome: how many `work` added, those alone to which it added any. */
export async function refreshesIn(metrics: PrometheusMetrics, work: () => Promise<unknown>) {
  const count = async () => samplesOf(await metrics.text(), 'keyturn_refresh_total');
  const before = await count();
  await work();
  return Object.fromEntries(
    Object.entries(await count()).flatMap(([labels, value]) => {
      const added = value - (before[labels] ?? Number.NaN);
      return added === 0 ? [] : [[/^outcome="(\w+)"$/.exec(labels)?.[1] ?? labels, added]];
    }),
  );
}
