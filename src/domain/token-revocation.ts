/**
 * RFC 7009: a client gives back a token that it no longer needs. What is not its own is left alone, and nobody learns
 * from the answer whether it was a token at all.
 */
import { validate as isUuid } from 'uuid';
import type { Clock } from '../ports/clock.js';
import type { RevocationStore } from '../ports/revocation-store.js';
import { type AccessToken, type VerifyAccessToken, verifiedOrNull } from './access-token.js';
import { auditEvent } from './audit.js';
import { REFRESH_TOKEN_PREFIX } from './refresh-token.js';
import type { Revocations } from './revocations.js';
import type { Sessions } from './sessions.js';
import type { Caller, Client, SessionId, UserId } from './types.js';

/** Resolves when it is enforced; throws `revocation_pending`. */
export type RevokeToken = (
  token: string,
  client: Pick<Client, 'clientId' | 'tokenDelivery'>,
  caller: Caller,
) => Promise<void>;

export interface RevokeTokenParts {
  sessions: Pick<Sessions, 'logout' | 'logoutByRefreshToken'>;
  store: RevocationStore;
  verify: VerifyAccessToken;
  revocations: Pick<Revocations, 'covers' | 'enforce'>;
  clock: Clock;
}

/** Whose token it was, for the audit trail. The `sub` of a service's own token is no user. */
export const ownerOf = ({ sub, sid, jti, clientId }: AccessToken) => ({
  jti,
  ...(sid !== null && isUuid(sid) && isUuid(sub) ? { userId: sub as UserId, sessionId: sid as SessionId } : {}),
  ...(clientId === null ? {} : { clientId }),
});

export const createRevokeToken =
  ({ sessions, store, verify, revocations, clock }: RevokeTokenParts): RevokeToken =>
  async (text, { clientId, tokenDelivery }, caller) => {
    if (text.startsWith(REFRESH_TOKEN_PREFIX)) return sessions.logoutByRefreshToken(text, clientId, caller);
    const token = await verifiedOrNull(verify, text);
    if (token === null || token.clientId !== clientId) return;
    const { userId, sessionId } = ownerOf(token);
    // Of a session that slides each token is the whole of it: with another one it would go on.
    if (userId !== undefined && sessionId !== undefined && tokenDelivery === 'header')
      return sessions.logout({ userId, sessionId }, caller);
    // Whoever repeats it does not fill the table.
    if (!revocations.covers(token)) {
      const at = clock.now();
      const event = auditEvent('revocation.created', 'success', at, caller, {
        actor: `client:${clientId}`,
        ...ownerOf(token),
        details: { kind: 'jti', value: token.jti },
      });
      await store.append({ kind: 'jti', value: token.jti }, event);
    }
    await revocations.enforce();
  };
