/** audit_events: one INSERT, alone or inside the statement or transaction of the change it tells of. */
import type { AuditEvent } from '../../domain/types.js';
import type { AuditLog } from '../../ports/audit-log.js';
import type { Database, Sql, Statement } from './database.js';

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
  return [
    new Date(event.at),
    event.event,
    event.outcome,
    event.actor,
    event.userId ?? null,
    event.sessionId ?? null,
    event.clientId ?? null,
    event.jti ?? null,
    event.bySessionId ?? null,
    event.byJti ?? null,
    event.ip,
    event.place,
    event.userAgent,
    event.requestId,
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
