/** Taking away what has ended: short statements, each by itself, that wait for nobody and that nobody waits for. */
import { instant } from '../../domain/types.js';
import { type ExpiredRows, type Expiring, KEPT_S } from '../../ports/expired-rows.js';
import type { Database, Statement } from './database.js';

/** Held for one batch, so that however many nodes there are one is at it. */
const LOCK = '7310868735422866530';

/** A rule that is still needed must outlast a node whose clock is ahead. */
const due = (table: Expiring, before: string): string =>
  `expires_at < least(${before}, now() - interval '${KEPT_S[table]} seconds')`;

/**
 * The rows are found by the index on expires_at. It begins at `from`, where the batch before ended: the entries of rows
 * that are gone stay in the index until it is vacuumed, and going over them again for each batch would make the work grow
 * with the square of the backlog.
 */
const removal = (table: Expiring): Statement => ({
  name: `expired_${table}_remove`,
  text: `WITH mine AS MATERIALIZED (
      SELECT pg_try_advisory_xact_lock(${LOCK}) AS locked
    ), gone AS (
      DELETE FROM ${table} WHERE id = ANY (ARRAY(
        SELECT id FROM ${table} WHERE expires_at >= $1 AND ${due(table, '$2')} AND (SELECT locked FROM mine)
        ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED))
      RETURNING expires_at
    )
    SELECT (SELECT locked FROM mine) AS locked, count(*)::integer AS rows, max(expires_at) AS up_to FROM gone`,
});

const counting = (table: Expiring): Statement => ({
  name: `expired_${table}_count`,
  text: `SELECT count(*)::integer AS rows FROM (SELECT FROM ${table} WHERE ${due(table, '$1')} LIMIT $2) AS expired`,
});

const forEach = (statement: (table: Expiring) => Statement): Record<Expiring, Statement> => ({
  sessions: statement('sessions'),
  revocations: statement('revocations'),
  webhook_deliveries: statement('webhook_deliveries'),
});
const removals = forEach(removal);
const countings = forEach(counting);

export const createExpiredRows = (database: Database): ExpiredRows => ({
  async remove(what, from, before, limit) {
    const values = [new Date(from), new Date(before), limit];
    const [found] = await database.query<{ locked: boolean; rows: number; up_to: Date | null }>(removals[what], values);
    if (!found?.locked) return null;
    return { rows: found.rows, upTo: found.up_to === null ? from : instant(found.up_to.getTime()) };
  },
  async count(what, before, limit) {
    const [found] = await database.query<{ rows: number }>(countings[what], [new Date(before), limit]);
    return found?.rows ?? 0;
  },
});
