import type { AuditFilter, AuditOrder, AuditPlace, AuditRecord } from '../domain/audit-record.js';
import type { Page } from '../domain/types.js';

export interface AuditTrail {
  /**
   * At most `limit` events after a place. What no index finds is looked for among so many events at a time: a part may
   * be short, or empty, and there be more.
   */
  search(
    filter: AuditFilter,
    order: AuditOrder,
    after: AuditPlace | null,
    limit: number,
  ): Promise<Page<AuditRecord, AuditPlace>>;
}
