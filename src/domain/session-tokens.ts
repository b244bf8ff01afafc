/** The pair of tokens that a session's current generation stands for, as it is sent to a client. */
import type { AccessTokenIssuer } from './access-token.js';
import { formatRefreshToken, jtiOf } from './refresh-token.js';
import { type Instant, type SessionId, type SessionWithOwner, type Subject, seconds } from './types.js';

/** RFC 6749 §5.1, with what a client needs to plan its next refresh. Times are seconds from now. */
export interface TokenResponse {
  access_token: string;
  token_type: 'Bearer';
  expires_in: number;
  refresh_token: string;
  refresh_token_expires_in: number;
  session_id: SessionId;
  scope: string;
}

/** The answer, and whom it is about. */
export interface IssuedTokens {
  response: TokenResponse;
  subject: Subject;
}

export interface SessionTokens {
  /** Throws Refusal `signing_key_unavailable` while nothing can be issued. */
  ensureCanIssue(): void;
  /** `secret` is the secret of the row's current generation. */
  issue(found: SessionWithOwner, secret: Uint8Array, at: Instant): Promise<IssuedTokens>;
}

export function createSessionTokens(accessTokens: AccessTokenIssuer, newJti: () => string): SessionTokens {
  return {
    ensureCanIssue: () => accessTokens.ensureCanIssue(),
    async issue({ session, roles, accessTokenTtl: ttl }, secret, at) {
      const now = seconds(at);
      const made = seconds(session.rotations[0]?.at ?? session.createdAt);
      // A repeated answer is the lost one to the byte while half of its access token's life is left; after that it
      // would be of little use, so the same refresh token comes with a fresh access token.
      const repeat = now - made < ttl / 2;
      const iat = repeat ? made : now;
      const jti = repeat ? jtiOf(secret, session.rotationSalt, session.id, session.generation) : newJti();
      const accessToken = await accessTokens.issue({
        sub: session.userId,
        aud: session.audience,
        iat,
        ttl,
        jti,
        sid: session.id,
        clientId: session.clientId,
        scope: session.scope,
        roles,
        authTime: seconds(session.createdAt),
      });
      const end = Math.min(session.idleExpiresAt, session.expiresAt);
      const response: TokenResponse = {
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: Math.max(0, iat + ttl - now),
        refresh_token: formatRefreshToken(session.id, session.generation, secret, session.familyKey),
        refresh_token_expires_in: Math.max(0, Math.floor((end - at) / 1000)),
        session_id: session.id,
        scope: session.scope,
      };
      return { response, subject: { sub: session.userId, sid: session.id, jti, clientId: session.clientId } };
    },
  };
}
