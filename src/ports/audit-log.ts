import type { AuditEvent } from '../domain/types.js';

/** For events that go with no change of their own; all others are stored in the transaction of their change. */
export interface AuditLog {
  append(event: AuditEvent): Promise<void>;
}
