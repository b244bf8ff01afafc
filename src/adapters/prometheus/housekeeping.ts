/** What the service does by itself: removing what has ended, and sealing the audit trail. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { HousekeepingMetrics } from '../../ports/metrics.js';

export function measureHousekeeping(registry: Registry): HousekeepingMetrics {
  const registers = [registry];
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
  return {
    cleanedUp(table, rows, seconds) {
      cleaned.inc({ table }, rows);
      cleaning.inc({ table }, seconds);
    },
    cleanUpBacklog: (table, rows) => backlog.set({ table }, rows),
    auditUnsealed(events, oldestS) {
      unsealed.set(events);
      unsealedAge.set(oldestS);
    },
  };
}
