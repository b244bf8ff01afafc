/**
 * What administrators revoke when something has been stolen or has leaked: one token, a session, a user, a client, all.
 * What is not there (any more) is revoked all the same: after a restore the database does not know what is out.
 */
import type { Clock } from '../ports/clock.js';
import type { RevocationStore } from '../ports/revocation-store.js';
import type { SessionStore } from '../ports/session-store.js';
import { CLOCK_TOLERANCE_S, isTokenFault, type VerifyAccessToken } from './access-token.js';
import { auditEvent } from './audit.js';
import { Refusal } from './errors.js';
import type { RevocationKind } from './revocation.js';
import type { Revocations } from './revocations.js';
import { ownerOf } from './token-revocation.js';
import type { AuditEvent, By, SessionId, UserId } from './types.js';

export type RevocationTarget =
  /** A `jti`, or the token itself. */
  | { kind: 'jti'; value: string }
  | { kind: 'sid'; value: SessionId }
  | { kind: 'sub'; value: UserId }
  | { kind: 'client'; value: string }
  | { kind: 'all' };

export interface RevocationAdministration {
  /**
   * Resolves when it is enforced, and what is issued from then on is good again. Throws `revocation_pending`, and
   * `token_rejected` for a token that no one would accept as it is.
   */
  revoke(target: RevocationTarget, by: By): Promise<void>;
}

export interface RevocationAdministrationParts {
  store: RevocationStore;
  sessions: Pick<SessionStore, 'find' | 'end' | 'revokeUser'>;
  verify: VerifyAccessToken;
  revocations: Pick<Revocations, 'enforce' | 'enforceUntil'>;
  clock: Clock;
}

/** How often it is stored again when that took too long. */
const MAX_ATTEMPTS = 3;

/** A token has dots in it. */
const isJti = (text: string): boolean => /^[A-Za-z0-9_-]{1,128}$/.test(text);

export function createRevocationAdministration(parts: RevocationAdministrationParts): RevocationAdministration {
  const { store, sessions, verify, revocations, clock } = parts;

  type About = Pick<AuditEvent, 'userId' | 'sessionId' | 'clientId' | 'jti'>;
  const event = (kind: RevocationKind, value: string | null, { actor, caller }: By, about: About = {}): AuditEvent =>
    auditEvent('revocation.created', 'success', clock.now(), caller, { actor, ...about, details: { kind, value } });

  async function ownerOfToken(token: string): Promise<About & { jti: string }> {
    try {
      return ownerOf(await verify(token, { audience: null }));
    } catch (error) {
      if (isTokenFault(error)) throw new Refusal('token_rejected', { detail: error.detail });
      throw error;
    }
  }

  async function token(value: string, by: By): Promise<void> {
    const about = isJti(value) ? { jti: value } : await ownerOfToken(value);
    const created = event('jti', about.jti, by, about);
    await store.append({ kind: 'jti', value: about.jti }, created);
    await revocations.enforce();
  }

  async function session(id: SessionId, by: By): Promise<void> {
    const found = await sessions.find(id);
    const about = found === null ? {} : { userId: found.session.userId, clientId: found.session.clientId };
    const created = event('sid', id, by, { ...about, sessionId: id });
    const hasEnded = found !== null && (await sessions.end(id, found.session.userId, 'ended_by_admin', created));
    if (!hasEnded) await store.append({ kind: 'sid', value: id }, created);
    await revocations.enforce();
  }

  async function user(id: UserId, by: By): Promise<void> {
    const created = event('sub', id, by, { userId: id });
    await revocations.enforceUntil(await sessions.revokeUser(id, created));
  }

  async function issuedBefore(kind: 'client' | 'all', value: string, by: By): Promise<void> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const created = event(kind, value || null, by, kind === 'client' ? { clientId: value } : {});
      const notBefore = (await store.append({ kind, value }, created)) ?? created.at;
      // It took so long to store that others may have issued something after the instant, and before the commit.
      if (clock.now() + CLOCK_TOLERANCE_S * 1000 > notBefore) continue;
      return revocations.enforceUntil(notBefore);
    }
    throw new Refusal('revocation_pending', { retryAfter: 1 });
  }

  return {
    revoke(target, by) {
      switch (target.kind) {
        case 'jti':
          return token(target.value, by);
        // A UUID is taken in capitals too; rules are compared as text.
        case 'sid':
          return session(target.value.toLowerCase() as SessionId, by);
        case 'sub':
          return user(target.value.toLowerCase() as UserId, by);
        case 'client':
          return issuedBefore('client', target.value, by);
        case 'all':
          return issuedBefore('all', '', by);
      }
    },
  };
}
