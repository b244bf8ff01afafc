/** What is looked for in audit_events. */
import type { AuditFilter, AuditOrder, AuditPlace, AuditRecord } from '../../domain/audit-record.js';
import type { AuditTrail } from '../../ports/audit-trail.js';
import { type RecordRow, recordColumns, toRecord } from './audit-records.js';
import type { Database, Statement } from './database.js';

/** Events that are looked through at a time for what no index finds: some tens of milliseconds of the database. */
const SCANNED = 20_000;

type Member = keyof AuditFilter;
type Condition = (parameter: string) => string;

/** As the index audit_events_anomalies_idx has it: it serves nothing else. */
const ANOMALIES = `'session.flagged', 'session.stepped_up', 'session.step_up_failed', 'session.revoked_by_detection'`;

const isEqual =
  (column: string): Condition =>
  (parameter) =>
    `${column} = ${parameter}`;
/** By two indexes: with OR the planner might walk along the one on the time. */
const isEither =
  (...columns: string[]): Condition =>
  (parameter) =>
    `id IN (${columns.map((column) => `SELECT id FROM audit_events WHERE ${column} = ${parameter}`).join(' UNION ALL ')})`;

/** Found by an index. */
const indexed: Partial<Record<Member, Condition>> = {
  userId: isEqual('user_id'),
  sessionId: isEither('session_id', 'by_session_id'),
  jti: isEither('jti', 'by_jti'),
  since: (parameter) => `at >= ${parameter}::timestamptz`,
  until: (parameter) => `at < ${parameter}::timestamptz`,
  isAnomaly: (parameter) => `event IN (${ANOMALIES}) AND ${parameter}::boolean`,
};

/** Looked for among what these find. */
const others: Partial<Record<Member, Condition>> = {
  clientId: isEqual('client_id'),
  event: (parameter) =>
    `(event = ${parameter} OR right(${parameter}, 2) = '.*' AND starts_with(event, left(${parameter}, -1)))`,
  outcome: isEqual('outcome'),
  actor: isEqual('actor'),
  ip: isEqual('ip'),
  requestId: isEqual('request_id'),
};

const searched = Object.keys({ ...indexed, ...others });

/** Of a set of members; all of their names would be more than the 63 characters that Postgres tells statements apart by. */
const numberOf = (members: readonly Member[]): number =>
  members.reduce((sum, member) => sum + 2 ** searched.indexOf(member), 0);

const directions = { newest_first: ['<', '>=', 'DESC'], oldest_first: ['>', '<=', 'ASC'] } as const;
/** Not null: a condition that may be void is one that no index serves. */
const ends = {
  newest_first: { at: '-infinity', id: `${-(2n ** 63n)}` },
  oldest_first: { at: 'infinity', id: `${2n ** 63n - 1n}` },
} as const;

/** A text of its own for each set of members: a condition that can be left out is one that no index serves. */
function statementsFor(filter: AuditFilter, order: AuditOrder, after: AuditPlace | null, most: number) {
  const members = (Object.keys(filter) as Member[]).filter((member) => filter[member] !== undefined).sort();
  const values: unknown[] = [];
  const next = (value: unknown) => `$${values.push(value)}`;
  const conditions = (kind: Partial<Record<Member, Condition>>) =>
    members.flatMap((member) => {
      const value = filter[member];
      const condition = kind[member];
      if (condition === undefined) return [];
      return [condition(next(typeof value === 'number' ? new Date(value) : value))];
    });
  const [beyond, upTo, direction] = directions[order];
  const place =
    after === null ? [] : [`(at, id) ${beyond} (${next(new Date(after.at))}::timestamptz, ${next(after.id)}::bigint)`];
  const within = [...conditions(indexed), ...place];
  const known = values.length;
  const wanted = conditions(others);
  const where = (all: string[]) => (all.length === 0 ? '' : `WHERE ${all.join(' AND ')}`);
  const sorted = `ORDER BY audit_events.at ${direction}, audit_events.id ${direction}`;
  const name = [most, order, after === null ? 'first' : 'next', numberOf(members)].join('_');
  const [at, id] = [values.length + 2, values.length + 3];
  const scanned = wanted.length === 0 ? [] : [`(at, id) ${upTo} ($${at}::timestamptz, $${id}::bigint)`, ...wanted];
  return {
    /** The limit comes last, and then the end of what is looked through. */
    page: {
      name: `audit_page_${name}`,
      text: `SELECT ${recordColumns} FROM audit_events ${where([...within, ...scanned])} ${sorted}
        LIMIT $${values.length + 1}`,
    } satisfies Statement,
    values,
    /** The last one that is looked through; no row where that is all there is. */
    scanEnd:
      wanted.length === 0
        ? null
        : ({
            name: `audit_scan_end_${name}`,
            text: `SELECT at, id::text FROM audit_events ${where(within)} ${sorted} OFFSET ${most - 1} LIMIT 1`,
          } satisfies Statement),
    scanValues: values.slice(0, known),
  };
}

const placeOf = ({ at, id }: Pick<AuditRecord, 'at' | 'id'>): AuditPlace => ({ at: Date.parse(at), id });

export const createAuditTrail = (database: Database, scanned = SCANNED): AuditTrail => ({
  async search(filter, order, after, limit) {
    const { page, values, scanEnd, scanValues } = statementsFor(filter, order, after, scanned);
    // First, and the page goes to that very place: what is added or removed in between moves a number of events along.
    const [end] = scanEnd === null ? [] : await database.query<{ at: Date; id: string }>(scanEnd, scanValues);
    // One more than asked for says whether there are more.
    const until = end ?? ends[order];
    const bounds = scanEnd === null ? [] : [until.at, until.id];
    const rows = (await database.query<RecordRow>(page, [...values, limit + 1, ...bounds])).map(toRecord);
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    if (rows.length > limit && last !== undefined) return { items, next: placeOf(last) };
    return { items, next: end === undefined ? null : { at: end.at.getTime(), id: end.id } };
  },
});
