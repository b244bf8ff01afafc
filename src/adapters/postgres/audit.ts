/** audit_events: one INSERT, alone or inside the statement or transaction of the change it tells of. */
import type { AuditEvent } from '../../domain/types.js';
import type { AuditLog } from '../../ports/audit-log.js';
import type { Database, Sql, Statement } from './database.js';

/** For Prisma, and for the hand-written statements below. */
export const auditRow = (event: AuditEvent) => ({
  at: new Date(event.at),
  event: event.event,
  outcome: event.outcome,
  actor: event.actor,
  userId: event.userId ?? null,
  sessionId: event.sessionId ?? null,
  clientId: event.clientId ?? null,
  jti: event.jti ?? null,
  bySessionId: event.bySessionId ?? null,
  byJti: event.byJti ?? null,
  ip: event.ip,
  place: event.place,
  userAgent: event.userAgent,
  requestId: event.requestId,
  ...(event.details === undefined ? {} : { details: event.details as Record<string, string> }),
});

const columns = {
  at: 'timestamptz',
  event: 'text',
  outcome: 'text',
  actor: 'text',
  user_id: 'uuid',
  session_id: 'uuid',
  client_id: 'text',
  jti: 'text',
  by_session_id: 'uuid',
  by_jti: 'text',
  ip: 'text',
  place: 'text',
  user_agent: 'text',
  request_id: 'text',
  details: 'jsonb',
};

type Column = keyof typeof columns;
/** How many parameters an event takes. */
export const AUDIT_VALUES = Object.keys(columns).length;

/**
 * `INSERT INTO audit_events …` with the parameters $first … and what to append to the statement's values. `known` are
 * columns that the rest of the statement knows better, as SQL.
 */
export function auditInsert(first: number, from = '', known: Partial<Record<Column, string>> = {}): string {
  const names = Object.keys(columns) as Column[];
  const values = names.map((name, i) => {
    const parameter = `$${first + i}::${columns[name]}`;
    // Each parameter is named, or Postgres could not tell its type.
    return known[name] === undefined ? parameter : `coalesce(${known[name]}, ${parameter})`;
  });
  return `INSERT INTO audit_events (${names.join(', ')}) SELECT ${values.join(', ')} ${from}`;
}

export function auditValues(event: AuditEvent): unknown[] {
  const row = auditRow(event);
  return [
    row.at,
    row.event,
    row.outcome,
    row.actor,
    row.userId,
    row.sessionId,
    row.clientId,
    row.jti,
    row.bySessionId,
    row.byJti,
    row.ip,
    row.place,
    row.userAgent,
    row.requestId,
    event.details === undefined ? null : JSON.stringify(event.details),
  ];
}

const append: Statement = { name: 'audit_append', text: auditInsert(1) };

/** For transactions of several statements. */
export async function appendAudit(sql: Sql, event: AuditEvent): Promise<void> {
  await sql.query(append, auditValues(event));
}

export const createAuditLog = (database: Database): AuditLog => ({
  append: (event) => appendAudit(database, event),
});
