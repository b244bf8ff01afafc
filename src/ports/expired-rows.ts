import type { Instant } from '../domain/types.js';

/** What ends by itself, and is taken away some time after. */
export type Expiring = 'sessions' | 'revocations' | 'webhook_deliveries';

/** With the events of the audit trail, which are kept as long as the settings say. */
export type Cleaned = Expiring | 'audit_events';

/** How long what has ended stays, seconds: a client that comes late is told that its session expired. A delivery says when. */
export const KEPT_S: Record<Expiring, number> = { sessions: 86_400, webhook_deliveries: 0, revocations: 0 };

export interface RemovedBatch {
  rows: number;
  /** The latest end among them: where the next batch begins. */
  upTo: Instant;
}

/** `before` is taken from a node's clock. What by the database's own clock is to be kept stays, should the node be ahead. */
export interface ExpiredRows {
  /**
   * Removes at most `limit` rows that ended from `from` on and before `before`, the oldest first; rows that somebody else
   * holds are left for another time. Null, with nothing removed, while another node is at it.
   */
  remove(what: Expiring, from: Instant, before: Instant, limit: number): Promise<RemovedBatch | null>;
  /** How many ended before `before`, counted up to `limit`. */
  count(what: Expiring, before: Instant, limit: number): Promise<number>;
}
