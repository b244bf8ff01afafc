/** Metrics in the format of Prometheus. Each is described in docs/metrics.md. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { countedOutcomes } from '../../domain/refresh-outcome.js';
import { renewalOutcomes } from '../../domain/sliding-sessions.js';
import { countedSubjects, type Metrics } from '../../ports/metrics.js';
import { measureDetection } from './detection.js';
import { measureHousekeeping } from './housekeeping.js';
import { measureLoad } from './load.js';
import { measureRevocations, type WatchRevocations } from './revocations.js';
import { measureWebhooks } from './webhooks.js';

/** Connections: all there are, those nobody uses, and the callers that wait for one. */
export interface PoolState {
  total: number;
  idle: number;
  waiting: number;
}

export interface PrometheusMetrics extends Metrics, WatchRevocations {
  contentType: string;
  /** What a scrape gets. */
  text(): Promise<string>;
}

export interface MetricsSettings {
  /** Measures the process as well: memory, CPU, the event loop's lag. */
  ofProcess?: boolean;
  pool?: (() => PoolState) | undefined;
}

/** Seconds. From a refresh without waiting, over a login, which hashes, to the 15 s after which a request is given up. */
const DURATIONS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];

export function createMetrics({ ofProcess = false, pool }: MetricsSettings = {}): PrometheusMetrics {
  const registry = new Registry();
  const registers = [registry];
  const refreshes = new Counter({
    name: 'keyturn_refresh_total',
    help: 'Refreshes by what came of them',
    labelNames: ['outcome'],
    registers,
  });
  // A counter that appears with its first event has no increase at it, so that an alert on the rate would miss that one.
  for (const outcome of countedOutcomes) refreshes.inc({ outcome }, 0);
  const renewals = new Counter({
    name: 'keyturn_renewal_total',
    help: 'Renewals of tokens in a header that were due, by what came of them',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of renewalOutcomes) renewals.inc({ outcome }, 0);
  const failuresShared = new Gauge({
    name: 'keyturn_limit_shared',
    help: 'Whether failed attempts are counted for all nodes, and not in this process alone',
    registers,
  });
  // Until somebody has asked in vain.
  failuresShared.set(1);
  const blocks = new Counter({
    name: 'keyturn_limit_blocks_total',
    help: 'Blocks that failed attempts have led to',
    labelNames: ['subject'],
    registers,
  });
  for (const subject of countedSubjects) blocks.inc({ subject }, 0);
  const requests = new Histogram({
    name: 'keyturn_http_request_duration_seconds',
    help: 'Time from the first header of a request to the end of its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: DURATIONS_S,
    registers,
  });
  if (pool !== undefined) watchPool(registry, pool);
  if (ofProcess) collectDefaultMetrics({ register: registry });
  return {
    refreshed: (outcome) => refreshes.inc({ outcome }),
    renewed: (outcome) => renewals.inc({ outcome }),
    failuresShared: (shared) => failuresShared.set(shared ? 1 : 0),
    blocked: (subject) => blocks.inc({ subject }),
    ...measureLoad(registry),
    ...measureRevocations(registry),
    ...measureHousekeeping(registry),
    ...measureDetection(registry),
    ...measureWebhooks(registry),
    answered: ({ method, route, status, seconds }) => requests.observe({ method, route, status }, seconds),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

function watchPool(registry: Registry, pool: () => PoolState): void {
  const registers = [registry];
  new Gauge({
    name: 'keyturn_database_connections',
    help: 'Connections to the database, in use or idle',
    labelNames: ['state'],
    registers,
    collect() {
      const { total, idle } = pool();
      this.set({ state: 'used' }, total - idle);
      this.set({ state: 'idle' }, idle);
    },
  });
  new Gauge({
    name: 'keyturn_database_waiting',
    help: 'Callers that wait for a connection to the database',
    registers,
    collect() {
      this.set(pool().waiting);
    },
  });
}
