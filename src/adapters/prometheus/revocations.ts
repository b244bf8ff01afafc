/** How fast revocations are enforced, and what this node knows of them. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RevocationMetrics } from '../../ports/metrics.js';

/** What this node knows of revocations. */
export interface RevocationState {
  size(): number;
  isCurrent(): boolean;
}

export interface WatchRevocations {
  watchRevocations(state: RevocationState): void;
}

/** Seconds. From nodes that all hear of it, over one that does not and whose lease has to end, to the time after which it is pending. */
const ENFORCED_S = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.25, 2.5, 4];

export function measureRevocations(registry: Registry): RevocationMetrics & WatchRevocations {
  const registers = [registry];
  const unknownRevocations = new Counter({
    name: 'keyturn_revocation_unknown_total',
    help: 'Tokens of which it could not be told whether they are revoked',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['refused', 'let_through']) unknownRevocations.inc({ outcome }, 0);
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
  const followers = new Gauge({
    name: 'keyturn_feed_followers',
    help: 'Services that follow the revocations at this process',
    registers,
  });
  return {
    revocationUnknown: (outcome) => unknownRevocations.inc({ outcome }),
    revocationEnforced: (seconds) => enforcements.observe(seconds),
    revocationPending: () => pendingRevocations.inc(),
    followers: (count) => followers.set(count),
    watchRevocations: (state) => watch(registry, state),
  };
}

function watch(registry: Registry, state: RevocationState): void {
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
