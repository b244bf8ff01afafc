/** A session as it comes out of the database. */
import {
  type Instant,
  instant,
  type RevokeReason,
  type Rotation,
  type SessionId,
  type SessionSummary,
  type SessionWithOwner,
  type Sha256,
  type TokenSource,
  type UserId,
} from '../../domain/types.js';
import type { Flags } from '../../ports/detection-store.js';
import type { RotationAttempt } from '../../ports/session-store.js';
import { endedByRule } from './revocation-store.js';

/** Of `sessions s`, `users u` and `clients c`. */
export const returned = `s.id, s.user_id, s.client_id, s.audience, s.scope, s.generation, s.current_hash, s.previous_hash,
  s.rotation_salt, s.rotations, s.family_key, s.idle_expires_at, s.expires_at, s.created_at,
  coalesce(s.revoked_at, ${endedByRule}) AS revoked_at, s.revoke_reason, s.step_up_at,
  u.roles, u.disabled_at, c.required_roles, c.access_token_ttl`;

/** Of a rotation, what whoever asked for it does not know: each column costs both sides. */
export const rotated = `s.user_id, s.client_id, s.audience, s.scope, s.family_key, s.idle_expires_at, s.expires_at, s.created_at,
  u.roles, c.access_token_ttl`;

export interface Row {
  id: SessionId;
  user_id: UserId;
  client_id: string;
  audience: string;
  scope: string;
  generation: number;
  current_hash: Uint8Array;
  previous_hash: Uint8Array | null;
  rotation_salt: Uint8Array;
  rotations: Rotation[];
  family_key: Uint8Array;
  idle_expires_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  revoke_reason: RevokeReason | null;
  step_up_at: Date | null;
  created_at: Date;
  roles: string[];
  disabled_at: Date | null;
  required_roles: string[];
  access_token_ttl: number;
}

export const at = (date: Date): Instant => instant(date.getTime());

export const flaggedOf = (row: { flagged_at: Date | null; flags: Flags | null }): SessionSummary['flagged'] =>
  row.flagged_at && { at: at(row.flagged_at), reasons: (row.flags?.findings ?? []).map(({ why }) => why) };

export const toDomain = (row: Row): SessionWithOwner => ({
  session: {
    id: row.id,
    userId: row.user_id,
    clientId: row.client_id,
    audience: row.audience,
    scope: row.scope,
    generation: row.generation,
    currentHash: row.current_hash as Sha256,
    previousHash: row.previous_hash as Sha256 | null,
    rotationSalt: row.rotation_salt,
    rotations: row.rotations,
    familyKey: row.family_key,
    idleExpiresAt: at(row.idle_expires_at),
    expiresAt: at(row.expires_at),
    revokedAt: row.revoked_at && at(row.revoked_at),
    revokeReason: row.revoke_reason,
    stepUpAt: row.step_up_at && at(row.step_up_at),
    createdAt: at(row.created_at),
  },
  roles: row.roles,
  userDisabled: row.disabled_at !== null,
  requiredRoles: row.required_roles,
  accessTokenTtl: row.access_token_ttl,
});

export type RotatedRow = Pick<
  Row,
  | 'user_id'
  | 'client_id'
  | 'audience'
  | 'scope'
  | 'family_key'
  | 'idle_expires_at'
  | 'expires_at'
  | 'created_at'
  | 'roles'
  | 'access_token_ttl'
>;

export const toTokenSource = (
  row: RotatedRow,
  { sessionId, generation, salt, at: rotatedAt, key }: RotationAttempt,
): TokenSource => ({
  session: {
    id: sessionId,
    userId: row.user_id,
    clientId: row.client_id,
    audience: row.audience,
    scope: row.scope,
    generation: generation + 1,
    rotationSalt: salt,
    rotations: [{ at: rotatedAt, key }],
    familyKey: row.family_key,
    idleExpiresAt: at(row.idle_expires_at),
    expiresAt: at(row.expires_at),
    createdAt: at(row.created_at),
  },
  roles: row.roles,
  accessTokenTtl: row.access_token_ttl,
});
