import type { Revocation, RevocationKind } from '../domain/revocation.js';
import type { AuditEvent, Instant } from '../domain/types.js';

export interface NewRevocation {
  kind: RevocationKind;
  /** Empty for `all`. */
  value: string;
}

/** Revocations as they were committed: the truth of which every projection is made. */
export interface RevocationStore {
  /**
   * With its audit event, for as long as a token that it concerns can be out. Sessions that end leave theirs by themselves.
   * Resolves to the rule's `notBefore`: later than everything that any node has issued until the commit, also those whose
   * clocks are ahead by CLOCK_TOLERANCE_S.
   */
  append(revocation: NewRevocation, audit: AuditEvent): Promise<Instant | null>;
  /** Those after the id that have not expired, by id, about `limit`. None that is committed later has a smaller id. */
  after(id: number, at: Instant, limit: number): Promise<Revocation[]>;
  /** The highest id there is, of what has expired too; 0 where there is none. */
  last(): Promise<number>;
}
