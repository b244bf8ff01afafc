/** RFC 7662: a service asks what a token is worth, and is told of those alone that it may accept itself. */
import { validate as isUuid } from 'uuid';
import type { Clock } from '../ports/clock.js';
import type { SessionStore } from '../ports/session-store.js';
import { type AccessToken, type VerifyAccessToken, verifiedOrNull } from './access-token.js';
import { Refusal } from './errors.js';
import { hasRoles } from './refresh.js';
import { isGenuine, isSecretOf, parseRefreshToken, REFRESH_TOKEN_PREFIX } from './refresh-token.js';
import type { Revocations } from './revocations.js';
import { type Bearer, isLive, subjectOf } from './sessions.js';
import { type Client, type SessionId, seconds } from './types.js';

/** RFC 7662 §2.2. Instants are seconds since the epoch. */
export interface ActiveToken {
  active: true;
  iss: string;
  sub: string;
  aud: string | string[];
  client_id: string;
  scope: string;
  exp: number;
  /** Of access tokens alone, like the rest but `sid`. */
  token_type?: 'Bearer';
  iat?: number;
  nbf?: number;
  jti?: string;
  roles?: string[];
  sid?: string;
}

export interface Introspection {
  answer: ActiveToken | { active: false };
  /** 'unknown': let through, as it is configured. */
  revocation: Bearer['revocation'];
}

/** Throws `revocation_unknown`. */
export type Introspect = (token: string, client: Client) => Promise<Introspection>;

export interface IntrospectParts {
  issuer: string;
  verify: VerifyAccessToken;
  store: Pick<SessionStore, 'find'>;
  revocations: Pick<Revocations, 'check'>;
  clock: Clock;
}

const inactive: Introspection = { answer: { active: false }, revocation: 'good' };

export function createIntrospect({ issuer, verify, store, revocations, clock }: IntrospectParts): Introspect {
  async function accessToken(text: string, { audiences }: Client): Promise<Introspection> {
    const token = await verifiedOrNull(verify, text);
    if (token === null || !token.aud.some((audience) => audiences.includes(audience))) return inactive;
    const revocation = await revocations.check(token, subjectOf(token)).catch((error) => {
      if (error instanceof Refusal && error.code === 'token_revoked') return null;
      throw error;
    });
    if (revocation === null || !(await hasLiveSession(token))) return inactive;
    return { answer: described(token), revocation };
  }

  /** Or belongs to no session. */
  async function hasLiveSession({ sid, sub }: AccessToken): Promise<boolean> {
    if (sid === null) return true;
    const found = isUuid(sid) ? await store.find(sid as SessionId) : null;
    return found !== null && found.session.userId === sub && isLive(found, clock.now());
  }

  const described = ({ sub, aud, clientId, scope, exp, iat, nbf, jti, roles, sid }: AccessToken): ActiveToken => ({
    active: true,
    token_type: 'Bearer',
    iss: issuer,
    sub,
    aud: aud.length === 1 ? String(aud[0]) : [...aud],
    client_id: clientId ?? sub,
    scope,
    exp,
    iat,
    ...(nbf === null ? {} : { nbf }),
    jti,
    ...(roles === null ? {} : { roles: [...roles] }),
    ...(sid === null ? {} : { sid }),
  });

  /** A refresh token is for its client and this service alone: to anybody else it is none. */
  async function refreshToken(text: string, { clientId }: Client): Promise<Introspection> {
    const token = parseRefreshToken(text);
    const found = token && (await store.find(token.sessionId));
    if (!token || !found || !isLive(found, clock.now()) || !hasRoles(found)) return inactive;
    const { session } = found;
    const isCurrent =
      isGenuine(token, session.familyKey) &&
      token.generation === session.generation &&
      isSecretOf(token, session.currentHash);
    if (session.clientId !== clientId || !isCurrent) return inactive;
    return {
      answer: {
        active: true,
        iss: issuer,
        sub: session.userId,
        aud: session.audience,
        client_id: session.clientId,
        scope: session.scope,
        exp: Math.min(seconds(session.idleExpiresAt), seconds(session.expiresAt)),
        sid: session.id,
      },
      revocation: 'good',
    };
  }

  return (token, client) =>
    token.startsWith(REFRESH_TOKEN_PREFIX) ? refreshToken(token, client) : accessToken(token, client);
}
