import type { AuditEvent, Instant, SessionId, User, UserId } from '../domain/types.js';

/** `emailKey` is the form in which e-mails are compared; see domain/email.ts. */
export interface UserStore {
  /** False when the e-mail is taken; then nothing is stored. */
  create(user: User, emailKey: string, audit: AuditEvent): Promise<boolean>;
  findByEmailKey(emailKey: string): Promise<User | null>;
  find(id: UserId): Promise<User | null>;
  /** By id, which is by the time of creation: those after `after`, at most `limit`. */
  list(after: UserId | null, limit: number): Promise<User[]>;
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

  // Each of these is one transaction with its audit event. False or null: there is no such user, or nothing to change,
  // and nothing is stored.

  /** Ends all sessions. False also when the user is disabled already. */
  disable(id: UserId, audit: AuditEvent): Promise<boolean>;
  /** False also when the user is not disabled. */
  enable(id: UserId, audit: AuditEvent): Promise<boolean>;
  setRoles(id: UserId, roles: readonly string[], audit: AuditEvent): Promise<boolean>;
  /** Whatever the password was before; ends all sessions, and resolves to their number. */
  setPassword(id: UserId, passwordHash: string, audit: AuditEvent): Promise<number | null>;
  /** Takes the user's sessions away too; audit events stay. Resolves to the number of sessions that were live. */
  delete(id: UserId, audit: AuditEvent): Promise<number | null>;
}
