import type { Revocation, RevocationKind } from '../domain/revocation.js';
import type { AuditEvent, Instant } from '../domain/types.js';

export interface NewRevocation {
  kind: RevocationKind;
  value: string;
  notBefore: Instant | null;
  revokedAt: Instant;
}

/** Revocations as they were committed: the truth of which every projection is made. */
export interface RevocationStore {
  /** With its audit event, for as long as a token that it concerns can be out. Sessions that end leave theirs by themselves. */
  append(revocation: NewRevocation, audit: AuditEvent): Promise<void>;
  /** Those after the id that have not expired, by id, at most `limit`. None that is committed later has a smaller id. */
  after(id: number, at: Instant, limit: number): Promise<Revocation[]>;
  /** The highest id there is, of what has expired too; 0 where there is none. */
  last(): Promise<number>;
}
