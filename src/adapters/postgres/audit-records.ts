/** Rows of audit_events as they are read. */
import type { AuditRecord } from '../../domain/audit-record.js';

export const recordColumns = `id::text, at, event, outcome, actor, user_id, session_id, client_id, jti, by_session_id, by_jti,
  ip, place, user_agent, request_id, details`;

export type RecordRow = Omit<AuditRecord, 'at'> & { at: Date };

export const toRecord = ({ at, ...row }: RecordRow): AuditRecord => ({ ...row, at: at.toISOString() });
