import type { AuditEvent, Instant, SessionId, User, UserId } from '../domain/types.js';

/** `emailKey` is the form in which e-mails are compared; see domain/email.ts. */
export interface UserStore {
  /** False when the e-mail is taken; then nothing is stored. */
  create(user: User, emailKey: string, audit: AuditEvent): Promise<boolean>;
  findByEmailKey(emailKey: string): Promise<User | null>;
  find(id: UserId): Promise<User | null>;
  /** Replaces a hash by one of the same password at another cost; does nothing if the hash has changed meanwhile. */
  rehash(id: UserId, oldHash: string, newHash: string): Promise<void>;
  /**
   * Changes the password and ends all sessions but `keep` in one transaction with the audit event. False, with
   * nothing changed, if the password has been changed since `unlessChangedSince`.
   */
  changePassword(change: {
    userId: UserId;
    passwordHash: string;
    unlessChangedSince: Instant;
    keep: SessionId;
    audit: AuditEvent;
  }): Promise<boolean>;
}
