/** A person's sessions: who a bearer token belongs to, the list of devices, and how a session is ended. */
import { validate as isUuid } from 'uuid';
import type { Clock } from '../ports/clock.js';
import type { SessionStore } from '../ports/session-store.js';
import type { AccessToken, VerifyAccessToken } from './access-token.js';
import { auditEvent } from './audit.js';
import { ADMIN_AUDIENCE, ADMIN_ROLE } from './clients.js';
import { Refusal } from './errors.js';
import { hasRoles } from './refresh.js';
import { isGenuine, isSecretOf, type PresentedToken, parseRefreshToken } from './refresh-token.js';
import type { Revocations } from './revocations.js';
import type {
  AuditEvent,
  Caller,
  Instant,
  RevokeReason,
  Session,
  SessionId,
  SessionSummary,
  SessionWithOwner,
  Subject,
  UserId,
} from './types.js';

/** A bearer token that is good. */
export interface Bearer {
  token: AccessToken;
  /** 'unknown': let through, as it is configured. */
  revocation: 'good' | 'unknown';
}

/** The person behind a bearer token whose session is live. */
export interface Authenticated extends Bearer {
  userId: UserId;
  sessionId: SessionId;
  clientId: string;
}

export interface Demand {
  audience: string;
  /** All of them are needed. */
  scopes: readonly string[];
}

/** More devices than a person has; older sessions still count and end, but are not listed. */
const MAX_LISTED = 100;

export const isLive = ({ session, userDisabled }: SessionWithOwner, at: Instant): boolean =>
  !userDisabled && session.revokedAt === null && at < session.idleExpiresAt && at < session.expiresAt;

export const subjectOf = ({ sub, sid, jti, clientId }: AccessToken): Subject => ({
  sub,
  jti,
  ...(sid === null ? {} : { sid }),
  ...(clientId === null ? {} : { clientId }),
});

function requireScopes(token: AccessToken, scopes: readonly string[]): void {
  const granted = token.scope.split(' ');
  const missing = scopes.find((scope) => !granted.includes(scope));
  if (missing === undefined) return;
  throw new Refusal('insufficient_scope', { subject: subjectOf(token), detail: `the scope ${missing} is needed` });
}

export interface Sessions {
  /** Throws the codes of a bearer check, and `session_required` for a token that belongs to no session. */
  authenticate(bearer: string): Promise<Authenticated>;
  /** The same for a token of administration; throws `role_required` for a user who is no administrator. */
  authenticateAdmin(bearer: string): Promise<Authenticated>;
  /** A token of any audience, of a live session or of a service itself. Throws `insufficient_scope`. */
  authorize(bearer: string, scope: string): Promise<Bearer>;
  /**
   * What a gateway asks before each request: the token alone, its revocation included, and no database. Throws the codes of
   * a bearer check and `insufficient_scope`.
   */
  check(bearer: string, demand: Demand): Promise<Bearer>;
  list(who: Authenticated): Promise<SessionSummary[]>;
  /** Throws `not_found` when the person has no such live session. */
  endOne(who: Authenticated, id: SessionId, caller: Caller): Promise<void>;
  endAll(who: Authenticated, includeCurrent: boolean, caller: Caller): Promise<void>;
  logout(who: Pick<Authenticated, 'userId' | 'sessionId'>, caller: Caller): Promise<void>;
  /**
   * Does nothing, and says nothing, if the token is unknown, its session has ended, or it is not the client's; `clientId`
   * is null where the request does not say.
   */
  logoutByRefreshToken(refreshToken: string, clientId: string | null, caller: Caller): Promise<void>;
}

export interface SessionsParts {
  store: SessionStore;
  verify: VerifyAccessToken;
  revocations: Pick<Revocations, 'check' | 'enforce'>;
  clock: Clock;
}

export function createSessions({ store, verify, revocations, clock }: SessionsParts): Sessions {
  const endedBy = (userId: UserId, event: AuditEvent['event'], caller: Caller, sessionId?: SessionId): AuditEvent =>
    auditEvent(event, 'success', clock.now(), caller, {
      actor: `user:${userId}`,
      userId,
      ...(sessionId === undefined ? {} : { sessionId }),
    });

  async function end(userId: UserId, id: SessionId, reason: RevokeReason, caller: Caller): Promise<boolean> {
    const ended = await store.end(id, userId, reason, endedBy(userId, 'session.ended', caller, id));
    await revocations.enforce();
    return ended;
  }

  async function goodToken(bearer: string, audience: string | null): Promise<Bearer> {
    const token = await verify(bearer, { audience });
    return { token, revocation: await revocations.check(token, subjectOf(token)) };
  }

  async function sessionOf(token: AccessToken, sid: string): Promise<SessionWithOwner> {
    const subject = subjectOf(token);
    if (!isUuid(sid)) throw new Refusal('token_malformed', { subject });
    const found = await store.find(sid as SessionId);
    if (found === null || !isLive(found, clock.now()) || found.session.userId !== token.sub) {
      throw new Refusal('token_revoked', { subject });
    }
    return found;
  }

  async function authenticate(bearer: string, audience: string | null, roles: readonly string[]) {
    const { token, revocation } = await goodToken(bearer, audience);
    const subject = subjectOf(token);
    if (token.sid === null) throw new Refusal('session_required', { subject });
    const found = await sessionOf(token, token.sid);
    // The user's roles of now: the token tells of those of a quarter of an hour ago.
    if (!hasRoles({ roles: found.roles, requiredRoles: roles })) throw new Refusal('role_required', { subject });
    const { session } = found;
    return { userId: session.userId, sessionId: session.id, clientId: session.clientId, token, revocation };
  }

  return {
    // The account endpoints take a token of any audience, as long as it belongs to a live session.
    authenticate: (bearer) => authenticate(bearer, null, []),
    authenticateAdmin: (bearer) => authenticate(bearer, ADMIN_AUDIENCE, [ADMIN_ROLE]),
    async authorize(bearer, scope) {
      const good = await goodToken(bearer, null);
      const { token } = good;
      if (token.sid !== null) await sessionOf(token, token.sid);
      requireScopes(token, [scope]);
      return good;
    },
    async check(bearer, { audience, scopes }) {
      const good = await goodToken(bearer, audience);
      requireScopes(good.token, scopes);
      return good;
    },
    list: (who) => store.listLive(who.userId, clock.now(), MAX_LISTED),
    async endOne(who, id, caller) {
      if (!(await end(who.userId, id, 'ended_by_user', caller))) throw new Refusal('not_found');
    },
    async endAll(who, includeCurrent, caller) {
      const audit = endedBy(who.userId, 'sessions.ended', caller, who.sessionId);
      await store.endAll(who.userId, includeCurrent ? null : who.sessionId, 'ended_by_user', audit);
      await revocations.enforce();
    },
    async logout(who, caller) {
      await end(who.userId, who.sessionId, 'logout', caller);
    },
    async logoutByRefreshToken(refreshToken, clientId, caller) {
      const token = parseRefreshToken(refreshToken);
      const found = token && (await store.find(token.sessionId));
      if (!token || !found || !wasGiven(token, found.session)) return;
      const { session } = found;
      if (clientId !== null && clientId !== session.clientId) return;
      await end(session.userId, session.id, 'logout', caller);
    },
  };
}

/** Whether the session once had this token, however long ago. */
function wasGiven(token: PresentedToken, { generation, familyKey, currentHash, previousHash }: Session): boolean {
  const age = generation - token.generation;
  // The hashes of the last two are there, so for these the secret must be right as well.
  const hash = age === 0 ? currentHash : previousHash;
  return isGenuine(token, familyKey) && age >= 0 && (age > 1 || isSecretOf(token, hash));
}
