/** The pair of tokens that a session's current generation stands for, as it is sent to a client. */
import type { AccessTokenIssuer } from './access-token.js';
import { formatRefreshToken, jtiOf } from './refresh-token.js';
import { type Instant, type SessionId, type Subject, seconds, type TokenSource } from './types.js';

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

/** An access token that takes the place of an older one of its session. */
export interface RenewedToken {
  accessToken: string;
  /** Seconds since the epoch. */
  iat: number;
  jti: string;
}

export interface SessionTokens {
  /** Throws Refusal `signing_key_unavailable` while nothing can be issued. */
  ensureCanIssue(): void;
  /** `secret` is the secret of the row's current generation. */
  issue(found: TokenSource, secret: Uint8Array, at: Instant): Promise<IssuedTokens>;
  /** An access token alone, good from `usedAt` for as long as the session is if nobody uses it again. */
  renew(found: TokenSource, usedAt: Instant): Promise<RenewedToken>;
}

/** What all access tokens of a session say. */
const contentOf = ({ session, roles }: TokenSource) => ({
  sub: session.userId,
  aud: session.audience,
  sid: session.id,
  clientId: session.clientId,
  scope: session.scope,
  roles,
  authTime: seconds(session.createdAt),
});

const endOf = ({ session }: TokenSource): number => Math.min(session.idleExpiresAt, session.expiresAt);

export function createSessionTokens(accessTokens: AccessTokenIssuer, newJti: () => string): SessionTokens {
  return {
    ensureCanIssue: () => accessTokens.ensureCanIssue(),
    async renew(found, usedAt) {
      const iat = seconds(usedAt);
      const jti = newJti();
      // Revocations are kept for as long as a client's tokens live, by what its settings say.
      const ttl = Math.min(Math.floor(endOf(found) / 1000) - iat, found.accessTokenTtl);
      return { accessToken: await accessTokens.issue({ ...contentOf(found), iat, ttl, jti }), iat, jti };
    },
    async issue(found, secret, at) {
      const { session, accessTokenTtl: ttl } = found;
      const now = seconds(at);
      const made = seconds(session.rotations[0]?.at ?? session.createdAt);
      // A repeated answer is the lost one to the byte while half of its access token's life is left; after that it
      // would be of little use, so the same refresh token comes with a fresh access token.
      const repeat = now - made < ttl / 2;
      const iat = repeat ? made : now;
      const jti = repeat ? jtiOf(secret, session.rotationSalt, session.id, session.generation) : newJti();
      const accessToken = await accessTokens.issue({ ...contentOf(found), iat, ttl, jti });
      const response: TokenResponse = {
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: Math.max(0, iat + ttl - now),
        refresh_token: formatRefreshToken(session.id, session.generation, secret, session.familyKey),
        refresh_token_expires_in: Math.max(0, Math.floor((endOf(found) - at) / 1000)),
        session_id: session.id,
        scope: session.scope,
      };
      return { response, subject: { sub: session.userId, sid: session.id, jti, clientId: session.clientId } };
    },
  };
}
