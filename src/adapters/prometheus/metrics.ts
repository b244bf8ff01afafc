/** Metrics in the format of Prometheus. Each is described in docs/metrics.md. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { countedOutcomes } from '../../domain/refresh-outcome.js';
import { renewalOutcomes } from '../../domain/sliding-sessions.js';
import { countedSubjects, type Metrics } from '../../ports/metrics.js';
import { measureLoad } from './load.js';

/** Connections: all there are, those nobody uses, and the callers that wait for one. */
export interface PoolState {
  total: number;
  idle: number;
  waiting: number;
}

/** What this node knows of revocations. */
export interface RevocationState {
  size(): number;
  isCurrent(): boolean;
}

export interface PrometheusMetrics extends Metrics {
  watchRevocations(state: RevocationState): void;
  contentType: string;
  /** What a scrape gets. */
  text(): Promise<string>;
}

export interface MetricsSettings {
  /** Measures the process as well: memory, CPU, the event loop's lag. */
  ofProcess?: boolean;
  pool?: (() => PoolState) | undefined;
}

/** Seconds. From nodes that all hear of it, over one that does not and whose lease has to end, to the time after which it is pending. */
const ENFORCED_S = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.25, 2.5, 4];
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
  const unknownRevocations = new Counter({
    name: 'keyturn_revocation_unknown_total',
    help: 'Tokens of which it could not be told whether they are revoked',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['refused', 'let_through']) unknownRevocations.inc({ outcome }, 0);
  const cleaned = new Counter({
    name: 'keyturn_cleanup_rows_total',
    help: 'Rows that had ended and were removed',
    labelNames: ['table'],
    registers,
  });
  const cleaning = new Counter({
    name: 'keyturn_cleanup_seconds_total',
    help: 'Time that their removal took',
    labelNames: ['table'],
    registers,
  });
  const backlog = new Gauge({
    name: 'keyturn_cleanup_backlog',
    help: 'Rows that have ended and are still there, counted up to 100,000',
    labelNames: ['table'],
    registers,
  });
  const enforcements = new Histogram({
    name: 'keyturn_revocation_enforced_seconds',
    help: 'Time from the commit of a revocation until every node enforces it',
    buckets: ENFORCED_S,
    registers,
  });
  const pendingRevocations = new Counter({
    name: 'keyturn_revocation_pending_total',
    help: 'Callers who were told that their revocation is not enforced yet',
    registers,
  });
  const unsealed = new Gauge({
    name: 'keyturn_audit_unsealed',
    help: 'Audit events that are not sealed yet, counted up to 100,000',
    registers,
  });
  const unsealedAge = new Gauge({
    name: 'keyturn_audit_unsealed_seconds',
    help: 'For how long the oldest of them has been there',
    registers,
  });
  const followers = new Gauge({
    name: 'keyturn_feed_followers',
    help: 'Services that follow the revocations at this process',
    registers,
  });
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
    revocationUnknown: (outcome) => unknownRevocations.inc({ outcome }),
    cleanedUp(table, rows, seconds) {
      cleaned.inc({ table }, rows);
      cleaning.inc({ table }, seconds);
    },
    cleanUpBacklog: (table, rows) => backlog.set({ table }, rows),
    revocationEnforced: (seconds) => enforcements.observe(seconds),
    revocationPending: () => pendingRevocations.inc(),
    watchRevocations: (state) => watchRevocations(registry, state),
    auditUnsealed(events, oldestS) {
      unsealed.set(events);
      unsealedAge.set(oldestS);
    },
    followers: (count) => followers.set(count),
    failuresShared: (shared) => failuresShared.set(shared ? 1 : 0),
    ...measureLoad(registry),
    blocked: (subject) => blocks.inc({ subject }),
    answered: ({ method, route, status, seconds }) => requests.observe({ method, route, status }, seconds),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

function watchRevocations(registry: Registry, state: RevocationState): void {
  const registers = [registry];
  new Gauge({
    name: 'keyturn_revocation_rules',
    help: 'Live revocations in the copy of this node',
    registers,
    collect() {
      this.set(state.size());
    },
  });
  new Gauge({
    name: 'keyturn_revocation_current',
    help: 'Whether the copy of this node is known to be complete',
    registers,
    collect() {
      this.set(state.isCurrent() ? 1 : 0);
    },
  });
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
