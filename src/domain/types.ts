/** The things that the domain speaks of. Branded types are made in one place each, where they are checked. */
import type { Policy } from './anomalies/policy.js';

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Milliseconds since the Unix epoch. */
export type Instant = Branded<number, 'Instant'>;
export const instant = (ms: number): Instant => ms as Instant;
export const seconds = (at: Instant): number => Math.floor(at / 1000);
export const later = (at: Instant, secs: number): Instant => (at + secs * 1000) as Instant;

/** UUIDv7, RFC 9562. */
export type UserId = Branded<string, 'UserId'>;
export type SessionId = Branded<string, 'SessionId'>;

/** 32 bytes: a SHA-256 digest. The value it was made of is never kept. */
export type Sha256 = Branded<Uint8Array, 'Sha256'>;

export type SigningAlg = 'RS256' | 'PS256' | 'ES256' | 'EdDSA';
export const signingAlgs: readonly SigningAlg[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];

export interface User {
  id: UserId;
  /** As typed, trimmed. */
  email: string;
  emailVerified: boolean;
  passwordHash: string;
  passwordChangedAt: Instant;
  roles: readonly string[];
  disabledAt: Instant | null;
  createdAt: Instant;
}

export type Grant = 'password' | 'refresh_token' | 'client_credentials';
export const grants: readonly Grant[] = ['password', 'refresh_token', 'client_credentials'];

/** An application: who is asking, and what its tokens are good for. Times to live are in seconds. */
export interface Client {
  clientId: string;
  name: string;
  type: 'public' | 'confidential';
  secretHash: Sha256 | null;
  audiences: readonly string[];
  scopes: readonly string[];
  grants: readonly Grant[];
  requiredRoles: readonly string[];
  accessTokenTtl: number;
  idleTtl: number;
  absoluteTtl: number;
  tokenDelivery: 'body' | 'header';
  renewAfter: number;
  corsOrigins: readonly string[];
  /** The most that the detection of anomalies may do to its sessions. */
  anomalyPolicy: Policy;
  createdAt: Instant;
}

export interface Rotation {
  at: Instant;
  /** SHA-256 of the Idempotency-Key, base64url; null when there was none. */
  key: string | null;
}

/** One login on one device: one row of constant size for its whole life. */
export interface Session {
  id: SessionId;
  userId: UserId;
  clientId: string;
  audience: string;
  scope: string;
  generation: number;
  currentHash: Sha256;
  previousHash: Sha256 | null;
  rotationSalt: Uint8Array;
  /** The last four, newest first. */
  rotations: readonly Rotation[];
  familyKey: Uint8Array;
  idleExpiresAt: Instant;
  expiresAt: Instant;
  revokedAt: Instant | null;
  revokeReason: RevokeReason | null;
  /** Since when the next refresh needs the password; null where it does not. */
  stepUpAt: Instant | null;
  createdAt: Instant;
}

export type RevokeReason =
  | 'logout'
  | 'ended_by_user'
  | 'ended_by_admin'
  | 'password_changed'
  | 'account_disabled'
  | 'refresh_token_reused'
  | 'anomaly';

/** A session with what a token of it has to say and must be allowed by, read together. */
export interface SessionWithOwner {
  session: Session;
  roles: readonly string[];
  userDisabled: boolean;
  requiredRoles: readonly string[];
  accessTokenTtl: number;
}

/** What the tokens of a session are made of. Of its rotations the latest is enough. */
export type TokenSource = Pick<SessionWithOwner, 'roles' | 'accessTokenTtl'> & {
  session: Omit<Session, 'currentHash' | 'previousHash' | 'revokedAt' | 'revokeReason' | 'stepUpAt'>;
};

/** What a person sees in the list of devices. */
export interface SessionSummary {
  id: SessionId;
  clientId: string;
  deviceName: string | null;
  userAgent: string | null;
  ip: string | null;
  place: string | null;
  createdAt: Instant;
  lastSeenAt: Instant;
  flagged: { at: Instant; reasons: string[] } | null;
}

/** Whom a request turned out to be about; for the log, never for the answer. */
export interface Subject {
  sub?: string;
  sid?: string;
  jti?: string;
  clientId?: string;
}

/** Where a request came from; part of every audit event. */
export interface Caller {
  ip: string | null;
  /** Where the address roughly is: `DE`, or `Berlin, DE`. */
  place: string | null;
  userAgent: string | null;
  requestId: string | null;
  /** The session and the access token with which it asks; neither without one. */
  bySessionId?: SessionId | null;
  byJti?: string | null;
}

/** Who changes what is not his own: an administrator, somebody at the command line, or the service by itself. */
export interface By {
  /** As in the audit event. */
  actor: string;
  /** The administrator's own account; null for all others. */
  userId: UserId | null;
  caller: Caller;
}

/** A part of a list, and where the next part begins: null at the end. */
export interface Page<T, After> {
  items: T[];
  next: After | null;
}

export interface AuditEvent extends Caller {
  at: Instant;
  event:
    | 'audit.expired'
    | 'user.created'
    | 'login.succeeded'
    | 'login.failed'
    | 'address.blocked'
    | 'address.unblocked'
    | 'account.blocked'
    | 'account.unblocked'
    | 'session.ended'
    | 'session.flagged'
    | 'session.stepped_up'
    | 'session.step_up_failed'
    | 'session.revoked_by_detection'
    | 'sessions.ended'
    | 'password.changed'
    | 'password.change_failed'
    | 'password.set'
    | 'user.disabled'
    | 'user.enabled'
    | 'user.roles_changed'
    | 'user.deleted'
    | 'refresh.rotated'
    | 'refresh.reused'
    | 'refresh.ahead_of_store'
    | 'refresh.secret_mismatch'
    | 'client.authentication_failed'
    | 'client.created'
    | 'client.updated'
    | 'client.secret_rotated'
    | 'client.deleted'
    | 'revocation.created'
    | 'signing_key.created'
    | 'signing_key.imported'
    | 'signing_key.rotation_scheduled'
    | 'signing_key.promoted'
    | 'signing_key.retired'
    | 'signing_key.revoked'
    | 'signing_key.rewrapped'
    | 'webhook.created'
    | 'webhook.updated'
    | 'webhook.deleted'
    | 'webhook.secret_rotated'
    | 'webhook.rewrapped'
    | 'webhook.tested'
    | 'webhook.retried'
    | 'webhook.failed'
    | 'webhook.disabled';
  outcome: 'success' | 'failure';
  /** `user:<id>`, `client:<client_id>`, `cli:<name>`, `service` or `anonymous`. */
  actor: string;
  // Whom it concerns.
  userId?: UserId;
  sessionId?: SessionId;
  clientId?: string;
  jti?: string;
  details?: Record<string, unknown>;
}
