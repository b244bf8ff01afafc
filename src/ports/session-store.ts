import type {
  AuditEvent,
  Caller,
  Instant,
  RevokeReason,
  Session,
  SessionId,
  SessionSummary,
  SessionWithOwner,
  Sha256,
  TokenSource,
  UserId,
} from '../domain/types.js';

export interface NewSession extends Session {
  deviceName: string | null;
  caller: Caller;
}

/** One attempt to move a session from `generation` to the next. */
export interface RotationAttempt {
  sessionId: SessionId;
  generation: number;
  secretHash: Sha256;
  /** What the presented token's tag authenticates, and the SHA-256 of that tag. */
  signed: Uint8Array;
  tagHash: Sha256;
  nextHash: Sha256;
  salt: Uint8Array;
  /** SHA-256 of the Idempotency-Key, base64url, or null. */
  key: string | null;
  /** The client the session must belong to; null for any. */
  clientId: string | null;
  at: Instant;
  caller: Caller;
  /** The step-up that the password was given for: it is over with the rotation. Null: none may be pending. */
  proved: Instant | null;
  /** Stored with the rotation, at most two; the actor, the user and the client are the session's. */
  audits: readonly AuditEvent[];
}

/** Proof that a session of a client with header delivery was in use. */
export interface Use {
  sessionId: SessionId;
  at: Instant;
  caller: Caller;
}

/** All methods reject with Refusal `store_unavailable` when the store can't be reached; nothing is then half done. */
export interface SessionStore {
  /**
   * Stores a new session with its audit event, unless the user has meanwhile been disabled or deleted, the password has
   * been changed since `passwordChangedAt`, or the client has been deleted: then nothing is stored and the answer is
   * false.
   */
  create(session: NewSession, passwordChangedAt: Instant, audit: AuditEvent): Promise<boolean>;
  find(id: SessionId): Promise<SessionWithOwner | null>;
  /**
   * Row 1 of the state machine as one conditional statement. Of any number of concurrent attempts with one token
   * exactly one gets the changed row; the others get null once it is committed, and read what is there.
   */
  rotate(attempt: RotationAttempt): Promise<TokenSource | null>;
  /**
   * Moves the idle end of a live session whose client has header delivery and that no step-up is pending for, unless that was done less than the client's
   * `renew_after` ago: however many ask at once, one of them writes. Resolves to the session as it then is, live or not,
   * with the instant of the latest use that was written down; null when there is no such session of such a client.
   */
  slide(use: Use): Promise<(SessionWithOwner & { lastSeenAt: Instant }) | null>;
  /** Live sessions of a user, the last seen first, at most `limit`. */
  listLive(userId: UserId, at: Instant, limit: number): Promise<SessionSummary[]>;
  /** Ends one session of the user together with the audit event; false when there is no live one. */
  end(id: SessionId, userId: UserId, reason: RevokeReason, audit: AuditEvent): Promise<boolean>;
  /**
   * Ends all live sessions of the user, and revokes whatever was issued to him until then, known here or not, together
   * with the audit event. Resolves to the instant from which on tokens are good again.
   */
  revokeUser(userId: UserId, audit: AuditEvent): Promise<Instant>;
  /** Ends all live sessions of the user but `except`, together with the audit event; resolves to their number. */
  endAll(userId: UserId, except: SessionId | null, reason: RevokeReason, audit: AuditEvent): Promise<number>;
}
