import type { Policy } from '../domain/anomalies/policy.js';
import type { Profile } from '../domain/anomalies/profile.js';
import type { Finding } from '../domain/anomalies/score.js';
import type { AuditEvent, Instant, SessionId, UserId } from '../domain/types.js';

/** A profile as it was read. */
export interface StoredProfile {
  profile: Profile;
  /** Of the row; to be given back with the next one. */
  version: string;
}

export interface ChangedProfile {
  userId: UserId;
  profile: Profile;
  /** Null where there was none. */
  version: string | null;
}

/** What a session was flagged for last. */
export interface Flags {
  /** The strongest that was done about it. */
  action: Policy;
  findings: Pick<Finding, 'signal' | 'why'>[];
}

/** A live session that something speaks against. */
export interface Suspect {
  sessionId: SessionId;
  userId: UserId;
  clientId: string;
  policy: Policy;
  flaggedAt: Instant | null;
  flags: Flags | null;
}

/** What the detection of anomalies remembers, and what it does to sessions short of ending them. */
export interface DetectionStore {
  /** Those that there are. */
  profiles(userIds: readonly UserId[]): Promise<Map<UserId, StoredProfile>>;
  /** Compare and swap, each by itself: resolves to those that were stored. A user who is gone has none. */
  keep(profiles: readonly ChangedProfile[], at: Instant): Promise<Set<UserId>>;
  /** Null where the session is over, or another user's. */
  suspect(id: SessionId, userId: UserId, at: Instant): Promise<Suspect | null>;
  /**
   * Flags the session, and has its next refresh ask for the password if that is demanded, together with the audit event. One
   * that is due stays due. False where it is over, or has been flagged since `suspect` was read: then nothing is stored.
   */
  flag(suspect: Suspect, flags: Flags, demandsPassword: boolean, audit: AuditEvent): Promise<boolean>;
}
