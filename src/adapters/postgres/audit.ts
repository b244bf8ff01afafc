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
  ip: 'text',
  place: 'text',
  user_agent: 'text',
  request_id: 'text',
  details: 'jsonb',
};

/** `INSERT INTO audit_events …` with the parameters $first … and what to append to the statement's values. */
export function auditInsert(first: number, from = ''): string {
  const parameters = Object.values(columns).map((type, i) => `$${first + i}::${type}`);
  return `INSERT INTO audit_events (${Object.keys(columns).join(', ')}) SELECT ${parameters.join(', ')} ${from}`;
}

export function auditValues(event: AuditEvent): unknown[] {
  const { at, outcome, actor, userId, sessionId, clientId, jti, ip, place, userAgent, requestId } = auditRow(event);
  const details = event.details === undefined ? null : JSON.stringify(event.details);
  return [at, event.event, outcome, actor, userId, sessionId, clientId, jti, ip, place, userAgent, requestId, details];
}

const append: Statement = { name: 'audit_append', text: auditInsert(1) };

/** For transactions of several statements. */
export async function appendAudit(sql: Sql, event: AuditEvent): Promise<void> {
  await sql.query(append, auditValues(event));
}

export const createAuditLog = (database: Database): AuditLog => ({
  append: (event) => appendAudit(database, event),
});
