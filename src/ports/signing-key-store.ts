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
}

export interface SigningKeyStore {
  /** Keys that are published: pending, active and retiring, the oldest first. */
  published(): Promise<SigningKeyRow[]>;
  /** Stores the key if no key is active yet, under a lock that all nodes share; false when there was one. */
  createFirst(key: SigningKeyRow, audit: AuditEvent): Promise<boolean>;
}
