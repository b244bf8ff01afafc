/**
 * Sessions in memory, as the statements of src/adapters/postgres/session-store.ts keep them. The contract of the
 * session store runs schedules against both and compares them after every operation.
 */
import { createHmac } from 'node:crypto';
import { sha256 } from '../../../src/domain/refresh-token.js';
import {
  type Instant,
  later,
  type Session,
  type SessionId,
  type SessionWithOwner,
  type TokenSource,
} from '../../../src/domain/types.js';
import type { RotationAttempt, SessionStore } from '../../../src/ports/session-store.js';

export type RefreshStore = Pick<SessionStore, 'find' | 'rotate' | 'end'> & {
  /** What the detection of anomalies does. */
  demandPassword(id: SessionId, at: Instant): Promise<void>;
};

/** A row is never changed, only replaced, so that a change is seen by comparing references. */
export type Rows = Map<SessionId, Session>;

const IDLE_TTL_S = 14 * 86_400;
const KEPT_ROTATIONS = 4;

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** The statement `session_rotate`: its WHERE and its SET. */
export const rotateStatement = {
  where: (row: Session, attempt: RotationAttempt): boolean =>
    row.generation === attempt.generation &&
    sameBytes(row.currentHash, attempt.secretHash) &&
    sameBytes(
      sha256(createHmac('sha256', row.familyKey).update(attempt.signed).digest().subarray(0, 16)),
      attempt.tagHash,
    ) &&
    row.revokedAt === null &&
    row.idleExpiresAt > attempt.at &&
    row.expiresAt > attempt.at &&
    (attempt.key === null || row.rotations[0]?.key !== attempt.key) &&
    (attempt.clientId === null || row.clientId === attempt.clientId) &&
    row.stepUpAt === attempt.proved,

  set: (row: Session, { nextHash, salt, at, key }: RotationAttempt): Session => {
    const idleEnd = later(at, IDLE_TTL_S);
    return {
      ...row,
      generation: row.generation + 1,
      previousHash: row.currentHash,
      currentHash: nextHash,
      rotationSalt: salt,
      rotations: [{ at, key }, ...row.rotations].slice(0, KEPT_ROTATIONS),
      idleExpiresAt: idleEnd < row.expiresAt ? idleEnd : row.expiresAt,
      stepUpAt: null,
    };
  },
};

/** The owners are never disabled and need no role: that is for the tests of the state machine. */
export const withOwner = (session: Session): SessionWithOwner => ({
  session,
  roles: [],
  userDisabled: false,
  requiredRoles: [],
  accessTokenTtl: 900,
});

/** What `session_rotate` returns. */
function tokenSourceOf({
  currentHash,
  previousHash,
  revokedAt,
  revokeReason,
  stepUpAt,
  ...session
}: Session): TokenSource {
  return { session: { ...session, rotations: session.rotations.slice(0, 1) }, roles: [], accessTokenTtl: 900 };
}

export function createMemoryStore(rows: Rows, statement = rotateStatement): RefreshStore {
  return {
    async find(id) {
      const row = rows.get(id);
      return row === undefined ? null : withOwner(row);
    },
    async rotate(attempt) {
      const row = rows.get(attempt.sessionId);
      if (row === undefined || !statement.where(row, attempt)) return null;
      const next = statement.set(row, attempt);
      rows.set(row.id, next);
      return tokenSourceOf(next);
    },
    async demandPassword(id, at) {
      const row = rows.get(id);
      if (row !== undefined && row.revokedAt === null) rows.set(id, { ...row, stepUpAt: at });
    },
    async end(id, userId, reason, { at }) {
      const row = rows.get(id);
      if (row === undefined || row.userId !== userId || row.revokedAt !== null) return false;
      if (row.idleExpiresAt <= at || row.expiresAt <= at) return false;
      rows.set(id, { ...row, revokedAt: at, revokeReason: reason });
      return true;
    },
  };
}
