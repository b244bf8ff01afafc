/** Sessions and refresh tokens made by hand, for the state machine and the store. */
import { systemRandom } from '../../src/adapters/system/random.js';
import type { PresentedToken } from '../../src/domain/refresh-token.js';
import {
  formatRefreshToken,
  nextSecret,
  parseRefreshToken,
  SECRET_BYTES,
  sha256,
} from '../../src/domain/refresh-token.js';
import {
  type Instant,
  later,
  type Rotation,
  type Session,
  type SessionId,
  type SessionWithOwner,
  type UserId,
} from '../../src/domain/types.js';

export const SESSION_ID = '01900000-0000-7000-8000-000000000001' as SessionId;
export const USER_ID = '01900000-0000-7000-8000-000000000002' as UserId;

export interface MadeSession {
  found: SessionWithOwner;
  /** The token of each generation, as text, from 0 to the current one. */
  tokens: string[];
}

/** A session that was rotated once for each of `rotations`, given oldest first. */
export function makeSession(
  createdAt: Instant,
  rotations: readonly Rotation[] = [],
  { id, userId } = { id: SESSION_ID, userId: USER_ID },
): MadeSession {
  const familyKey = systemRandom.bytes(32);
  let secret = systemRandom.bytes(SECRET_BYTES);
  const tokens = [formatRefreshToken(id, 0, secret, familyKey)];
  let session: Session = {
    id,
    userId,
    clientId: 'default',
    audience: 'api',
    scope: '',
    generation: 0,
    currentHash: sha256(secret),
    previousHash: null,
    rotationSalt: systemRandom.bytes(32),
    rotations: [],
    familyKey,
    idleExpiresAt: later(createdAt, 14 * 86_400),
    expiresAt: later(createdAt, 90 * 86_400),
    revokedAt: null,
    revokeReason: null,
    stepUpAt: null,
    createdAt,
  };
  for (const rotation of rotations) {
    const rotationSalt = systemRandom.bytes(32);
    const generation = session.generation + 1;
    secret = nextSecret(secret, rotationSalt, id, generation);
    tokens.push(formatRefreshToken(id, generation, secret, familyKey));
    session = {
      ...session,
      generation,
      rotationSalt,
      previousHash: session.currentHash,
      currentHash: sha256(secret),
      rotations: [rotation, ...session.rotations].slice(0, 4),
    };
  }
  return { found: { session, roles: [], userDisabled: false, requiredRoles: [], accessTokenTtl: 900 }, tokens };
}

export function presented(token: string | undefined): PresentedToken {
  const parsed = parseRefreshToken(token ?? '');
  if (parsed === null) throw new Error('not a refresh token');
  return parsed;
}

/** The same token with the last byte of a part changed; the rest, and the length, stay. */
export function tampered(token: string, part: 'secret' | 'tag'): string {
  const bytes = Buffer.from(token.slice(4), 'base64url');
  const at = part === 'secret' ? 51 : 67;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return `ktr_${bytes.toString('base64url')}`;
}
