/** What has ended is taken away in the background, in small parts with pauses between them. */

import type { AuditSeals } from '../ports/audit-seals.js';
import type { Clock } from '../ports/clock.js';
import { type Cleaned, type ExpiredRows, type Expiring, KEPT_S } from '../ports/expired-rows.js';
import type { Metrics } from '../ports/metrics.js';
import { type Instant, instant, later } from './types.js';

const kinds = Object.keys(KEPT_S) as Expiring[];

/** Rows; a batch of them takes some 10 ms of the database's time. */
const BATCH = 1_000;
/** At least as long as the batch took, so that no more than half of one connection's time goes into this. Milliseconds. */
const MIN_PAUSE_MS = 2;
/** A run ends after this, each kind having had its share; what is left is for the next one. Milliseconds. */
const RUN_MS = 50_000;
/** And then this for audit events, most of which go at the beginning of a day. Milliseconds. */
const AUDIT_RUN_MS = 10_000;
const DAY_MS = 86_400_000;
/** More are only "at least so many". Rows. */
const MAX_COUNTED = 100_000;

export interface CleanUpParts {
  rows: ExpiredRows;
  seals: Pick<AuditSeals, 'expire'>;
  /** How long audit events are kept, seconds; 0: for ever. */
  auditRetention: number;
  metrics: Metrics;
  clock: Clock;
}

export interface CleanUp {
  /** Removes what is due, unless another node is at it. Resolves to the number of rows. */
  run(): Promise<Record<Cleaned, number>>;
}

export function createCleanUp({ rows, seals, auditRetention, metrics, clock }: CleanUpParts): CleanUp {
  async function removeAll(what: Expiring, before: Instant, deadline: number): Promise<number> {
    let removed = 0;
    for (let from = instant(0); ; ) {
      const begun = clock.monotonic();
      const batch = await rows.remove(what, from, before, BATCH);
      if (batch === null) return removed;
      const took = clock.monotonic() - begun;
      removed += batch.rows;
      metrics.cleanedUp(what, batch.rows, took / 1000);
      if (batch.rows < BATCH || clock.monotonic() >= deadline) return removed;
      from = batch.upTo;
      await clock.pause(Math.max(took, MIN_PAUSE_MS));
    }
  }

  /** Whole days of UTC: each batch that goes leaves an event, which would keep the trail growing by the minute. */
  async function removeAudited(): Promise<number> {
    if (auditRetention === 0) return 0;
    const before = new Date(Math.floor(later(clock.now(), -auditRetention) / DAY_MS) * DAY_MS);
    const deadline = clock.monotonic() + AUDIT_RUN_MS;
    for (let removed = 0; ; ) {
      const begun = clock.monotonic();
      const events = await seals.expire(before, auditRetention, BATCH);
      if (events === null || events === 0) return removed;
      const took = clock.monotonic() - begun;
      removed += events;
      metrics.cleanedUp('audit_events', events, took / 1000);
      if (clock.monotonic() >= deadline) return removed;
      await clock.pause(Math.max(took, MIN_PAUSE_MS));
    }
  }

  return {
    async run() {
      const begun = clock.monotonic();
      const removed = { sessions: 0, revocations: 0, webhook_deliveries: 0, audit_events: 0 };
      for (const [i, what] of kinds.entries()) {
        const deadline = begun + (RUN_MS * (i + 1)) / kinds.length;
        const before = later(clock.now(), -KEPT_S[what]);
        removed[what] = await removeAll(what, before, deadline);
        metrics.cleanUpBacklog(what, await rows.count(what, before, MAX_COUNTED));
      }
      removed.audit_events = await removeAudited();
      return removed;
    },
  };
}
