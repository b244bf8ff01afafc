/**
 * What happens on refresh: the state machine as a pure function of (row, request, time), and its use.
 *
 * Two devices' worth of trouble meet here. An honest client that lost an answer, or asked twice at once, must get the
 * same answer again; a thief who uses a copied token must end the session (RFC 9700 §4.14.2). What tells them apart is
 * how old the token is, and whether the request carries the Idempotency-Key of the rotation that used the token up.
 */
import type { AuditLog } from '../ports/audit-log.js';
import type { Clock } from '../ports/clock.js';
import type { Metrics } from '../ports/metrics.js';
import type { Random } from '../ports/random.js';
import type { SessionStore } from '../ports/session-store.js';
import { auditEvent } from './audit.js';
import { type ErrorCode, Refusal } from './errors.js';
import { historyOf, proofEvent, repeatEvent, rotationEvent } from './refresh-events.js';
import { counted } from './refresh-outcome.js';
import {
  isGenuine,
  isSecretOf,
  nextSecret,
  type PresentedToken,
  parseRefreshToken,
  SALT_BYTES,
  sha256,
} from './refresh-token.js';
import type { Revocations } from './revocations.js';
import type { IssuedTokens, SessionTokens } from './session-tokens.js';
import type { ProvePassword } from './step-up.js';
import type { AuditEvent, Caller, Instant, Session, SessionWithOwner, TokenSource } from './types.js';

export interface RefreshSettings {
  /** Seconds for which a retry with its key is answered; Infinity for as long as the session lives. */
  replayWindow: number;
  /** Seconds for which a used token is still taken for a parallel request of the same client. */
  reuseLeeway: number;
  /** Whether each rotation leaves an audit event. */
  audited?: boolean;
}

export type RefreshOutcome = 'rotated' | 'replayed' | 'concurrent';

export type Decision =
  | { do: 'rotate' }
  | { do: 'repeat'; outcome: 'replayed' | 'concurrent' }
  | { do: 'refuse'; code: ErrorCode; effect: 'none' | 'end_session' | 'audit'; event?: OddEvent };

type OddEvent = 'refresh.ahead_of_store' | 'refresh.secret_mismatch';

const refuse = (code: ErrorCode): Decision => ({ do: 'refuse', code, effect: 'none' });
const refuseAndAudit = (code: ErrorCode, event: OddEvent): Decision => ({ do: 'refuse', code, effect: 'audit', event });

/** What was presented, and by whom. */
export interface Presented {
  token: PresentedToken;
  /** SHA-256 of the Idempotency-Key, base64url; null when there was none. */
  key: string | null;
  /** The client that presents the token, null where the request does not say. */
  clientId: string | null;
  /** The step-up of the session for which the right password came with it; null where none did. */
  proved: Instant | null;
}

/**
 * The state machine. `found` is null when there is no such session. The order of the checks matters: nothing but
 * `invalid_refresh_token` is ever said to somebody whose token is not genuine, or who took it from another client.
 */
export function decide(
  found: SessionWithOwner | null,
  { token, key, clientId, proved }: Presented,
  at: Instant,
  settings: RefreshSettings,
): Decision {
  if (found === null || !isGenuine(token, found.session.familyKey)) return refuse('invalid_refresh_token');
  if (clientId !== null && clientId !== found.session.clientId) return refuse('invalid_refresh_token');
  if (found.userDisabled) return refuse('account_disabled');

  const { session } = found;
  // How many rotations ago the token was the current one.
  const age = session.generation - token.generation;
  // A genuine token that is newer than the row: the database was restored from a backup.
  if (age < 0) return refuseAndAudit('invalid_refresh_token', 'refresh.ahead_of_store');
  const hash = age === 0 ? session.currentHash : session.previousHash;
  if (age <= 1 && !isSecretOf(token, hash)) {
    // Only somebody with the database could make a right tag for a wrong secret.
    return refuseAndAudit('invalid_refresh_token', 'refresh.secret_mismatch');
  }
  if (session.revokedAt !== null) return refuse('session_revoked');
  if (at >= session.idleExpiresAt || at >= session.expiresAt) return refuse('session_expired');

  const decision = ageDecision(session, age, key, at, settings);
  // What ends a session ends it all the same: only who would get tokens is asked for anything more.
  if (decision.do === 'refuse') return decision;
  if (!hasRoles(found)) return refuse('role_required');
  return session.stepUpAt === null || session.stepUpAt === proved ? decision : refuse('password_required');
}

function ageDecision(
  session: Session,
  age: number,
  key: string | null,
  at: Instant,
  settings: RefreshSettings,
): Decision {
  if (age === 0) {
    const isLatestKey = key !== null && session.rotations[0]?.key === key;
    return isLatestKey ? refuse('idempotency_key_reused') : { do: 'rotate' };
  }
  // rotations[0] is the one that made the current token, so rotations[age - 1] is the one that used up this token.
  const rotation = session.rotations[age - 1];
  if (rotation !== undefined) {
    const elapsed = (at - rotation.at) / 1000;
    const sameKey = key !== null && rotation.key === key;
    // Nodes' clocks differ a little: a rotation that seems to lie in the future is as recent as can be.
    const recent = elapsed < settings.reuseLeeway;
    if (age === 1) {
      if (sameKey && elapsed < settings.replayWindow) return { do: 'repeat', outcome: 'replayed' };
      if (recent) return { do: 'repeat', outcome: 'concurrent' };
    } else if (recent || sameKey) {
      return refuse('refresh_superseded');
    }
  }
  return { do: 'refuse', code: 'refresh_token_reused', effect: 'end_session' };
}

export const hasRoles = (owner: { roles: readonly string[]; requiredRoles: readonly string[] }): boolean =>
  owner.requiredRoles.every((role) => owner.roles.includes(role));

export interface RefreshRequest {
  refreshToken: string;
  /** The Idempotency-Key as parsed by `parseIdempotencyKey`, or null. */
  idempotencyKey: string | null;
  /** Refuses tokens of other clients; null where the request says nothing of its client. */
  clientId: string | null;
  /** Looked at where the session goes on with it alone; null where the request has none. */
  password: string | null;
  caller: Caller;
}

export interface RefreshResult extends IssuedTokens {
  outcome: RefreshOutcome;
}

export interface RefreshParts {
  sessions: Pick<SessionStore, 'find' | 'rotate' | 'end'>;
  provePassword: ProvePassword;
  audit: AuditLog;
  revocations: Pick<Revocations, 'enforce'>;
  metrics: Metrics;
  tokens: Pick<SessionTokens, 'ensureCanIssue' | 'issue'>;
  clock: Clock;
  random: Random;
  settings: RefreshSettings;
}

export type Refresh = (request: RefreshRequest) => Promise<RefreshResult>;

/** How often a rotation that found the row changed under it looks again, before it says that it is too busy. */
const MAX_ATTEMPTS = 3;

/** Another state machine than `decide` is only for tests that break one of its rules. */
export function createRefresh(
  { sessions, provePassword, audit, revocations, metrics, tokens, clock, random, settings }: RefreshParts,
  stateMachine = decide,
): Refresh {
  return counted(refresh, metrics);

  async function refresh(request: RefreshRequest): Promise<RefreshResult> {
    const { refreshToken, idempotencyKey, clientId, password, caller } = request;
    const token = parseRefreshToken(refreshToken);
    if (token === null) throw new Refusal('invalid_refresh_token');
    // A client without a key could not repeat a rotation whose answer cannot be made for longer than the leeway.
    tokens.ensureCanIssue();
    const key = idempotencyKey === null ? null : hashIdempotencyKey(idempotencyKey);
    let presented: Presented = { token, key, clientId, proved: null };

    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const at = clock.now();
      const rotated = await tryToRotate(presented, at, caller);
      if (rotated !== null) return answer('rotated', rotated.found, rotated.secret, at);

      const found = await sessions.find(token.sessionId);
      const decision = stateMachine(found, presented, at, settings);
      if (decision.do === 'rotate') continue;
      const needsPassword = decision.do === 'refuse' && decision.code === 'password_required';
      if (needsPassword && found !== null && password !== null) {
        // Slow, and so outside any statement: the step-up that is ended by it is the one that was seen here.
        await provePassword(found.session, password, caller);
        presented = { ...presented, proved: found.session.stepUpAt };
        continue;
      }
      if (decision.do === 'refuse') return await refused(decision, found, presented, at, caller);
      if (found === null) break;
      const { session } = found;
      // Whoever took the token first has the successor as well, and may be the thief: it is asked for at that, too.
      if (session.stepUpAt !== null) await audit.append(repeatEvent(session, decision.outcome, at, caller));
      const secret = nextSecret(token.secret, session.rotationSalt, session.id, session.generation);
      return answer(decision.outcome, found, secret, at);
    }
    throw new Refusal('overloaded', { retryAfter: 1 });
  }

  async function tryToRotate({ token, key, clientId, proved }: Presented, at: Instant, caller: Caller) {
    const salt = random.bytes(SALT_BYTES);
    const secret = nextSecret(token.secret, salt, token.sessionId, token.generation + 1);
    const found = await sessions.rotate({
      sessionId: token.sessionId,
      generation: token.generation,
      secretHash: sha256(token.secret),
      signed: token.signed,
      tagHash: sha256(token.tag),
      nextHash: sha256(secret),
      salt,
      key,
      clientId,
      at,
      caller,
      proved,
      audits: [
        ...(settings.audited ? [rotationEvent(token, at, caller)] : []),
        ...(proved === null ? [] : [proofEvent(token, at, caller)]),
      ],
    });
    return found === null ? null : { found, secret };
  }

  async function answer(outcome: RefreshOutcome, found: TokenSource, secret: Uint8Array, at: Instant) {
    return { outcome, ...(await tokens.issue(found, secret, at)) };
  }

  async function ended({ id, userId }: Session, event: AuditEvent): Promise<void> {
    await sessions.end(id, userId, 'refresh_token_reused', event);
    // What the presenter is told is true already; access tokens of the session follow as soon as that is possible.
    await revocations.enforce().catch(() => {});
  }

  /** What has to be stored is stored before the refusal is sent: revocation outlives the error. */
  async function refused(
    decision: Extract<Decision, { do: 'refuse' }>,
    found: SessionWithOwner | null,
    presented: Presented,
    at: Instant,
    caller: Caller,
  ): Promise<never> {
    if (found !== null && decision.effect !== 'none') {
      const event = auditEvent(decision.event ?? 'refresh.reused', 'failure', at, caller, {
        actor: 'anonymous',
        userId: found.session.userId,
        sessionId: found.session.id,
        clientId: found.session.clientId,
        details: historyOf(found.session, presented, at),
      });
      if (decision.effect === 'audit') await audit.append(event);
      else await ended(found.session, event);
    }
    const subject = found && { sub: found.session.userId, sid: found.session.id, clientId: found.session.clientId };
    // Nobody has guessed at a token that this service once issued, whatever is wrong with it now, be it that a restore has
    // set the database back, or that another client presents it: no reason to block all who are behind the address.
    const genuine = found !== null && isGenuine(presented.token, found.session.familyKey);
    const event = decision.event && { event: decision.event };
    throw new Refusal(decision.code, { genuine, ...event, ...(subject ? { subject } : {}) });
  }
}

/**
 * The IETF HTTPAPI draft's Idempotency-Key, a structured-field string, also taken bare: 1 to 255 visible ASCII
 * characters. `"a"` and `a` are the same key.
 */
export function parseIdempotencyKey(header: string): string {
  const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(header);
  const key = quoted?.[1]?.replace(/\\(["\\])/g, '$1') ?? header;
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) throw new Refusal('invalid_idempotency_key');
  return key;
}

/** The key itself is never stored or logged. */
export const hashIdempotencyKey = (key: string): string => Buffer.from(sha256(key)).toString('base64url');
