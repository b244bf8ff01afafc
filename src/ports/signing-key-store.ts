import type { JWK } from 'jose';
import type { AuditEvent, Instant, SigningAlg } from '../domain/types.js';

export type SigningKeyState = 'pending' | 'active' | 'retiring' | 'retired' | 'revoked';

export interface SigningKeyRow {
  /** RFC 7638 thumbprint. */
  kid: string;
  alg: SigningAlg;
  state: SigningKeyState;
  publicJwk: JWK;
  /** Sealed under the KEK `kekId`; null once destroyed. */
  sealedPrivate: Uint8Array | null;
  kekId: string | null;
  createdAt: Instant;
  publishedAt: Instant;
  activatedAt: Instant | null;
  retiringAt: Instant | null;
  retiredAt: Instant | null;
  revokedAt: Instant | null;
  /** Since when a promotion that has to wait has been asked for; null when nobody asked. */
  promoteAt: Instant | null;
  /** Seconds: the longest life that tokens signed with this key may have been given. */
  longestTokenTtl: number;
}

export interface SigningKeyStore {
  /** Keys that are published: pending, active and retiring, the oldest first. */
  published(): Promise<SigningKeyRow[]>;
  /**
   * Every key that there ever was, the oldest first, the longest life, in seconds, that a client's tokens have now, and
   * the instant at which to decide what becomes of them: the store's, which is the same for all nodes.
   */
  keySet(): Promise<{ keys: SigningKeyRow[]; longestTokenTtl: number; now: Instant }>;
  /** Stores the key if there has never been one, under a lock that all nodes share; false when there was one. */
  createFirst(key: SigningKeyRow, audit: AuditEvent): Promise<boolean>;
  /**
   * Compare and swap under the same lock: puts these rows, in this order, in the place of those with the same kid or
   * beside them, together with the events, if the keys are still as they were `seen`. Else false, with nothing changed.
   */
  change(seen: readonly SigningKeyRow[], put: readonly SigningKeyRow[], audit: readonly AuditEvent[]): Promise<boolean>;
}
