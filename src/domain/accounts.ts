/** A person's account: register, log in, change the password. */
import type { AuditLog } from '../ports/audit-log.js';
import type { Clock } from '../ports/clock.js';
import type { PasswordHasher } from '../ports/password-hasher.js';
import type { Random } from '../ports/random.js';
import type { SessionStore } from '../ports/session-store.js';
import type { UserStore } from '../ports/user-store.js';
import { auditEvent } from './audit.js';
import { type Clients, chooseAudience, chooseScope } from './clients.js';
import type { Devices } from './devices.js';
import { type Email, parseEmail } from './email.js';
import { Refusal } from './errors.js';
import type { Ids } from './ids.js';
import type { Guard } from './limits.js';
import { type AcceptPassword, isTooLong, normalizePassword } from './passwords.js';
import { hasRoles } from './refresh.js';
import { FAMILY_KEY_BYTES, SALT_BYTES, SECRET_BYTES, sha256 } from './refresh-token.js';
import type { Revocations } from './revocations.js';
import type { IssuedTokens, SessionTokens } from './session-tokens.js';
import type { Authenticated } from './sessions.js';
import {
  type AuditEvent,
  type Caller,
  type Client,
  type Instant,
  later,
  type SessionId,
  type User,
  type UserId,
} from './types.js';

export interface LoginRequest {
  email: string;
  password: string;
  clientId: string;
  audience?: string | undefined;
  scope?: string | undefined;
  deviceName?: string | undefined;
  /** Of an earlier login; what is not good is as if there were none. */
  deviceToken?: string | undefined;
  caller: Caller;
}

/** The tokens, and where its client takes them. */
export interface LoginResult extends IssuedTokens {
  delivery: Client['tokenDelivery'];
  /** By which the device is known at its next login. */
  deviceToken: string;
  /** Whether it was known before this one. */
  knownDevice: boolean;
}

export interface Accounts {
  /** Throws `email_taken`, `password_rejected`, `overloaded`. */
  register(fields: { email: string; password: string; caller: Caller }): Promise<User>;
  /**
   * Throws `unknown_client`, `grant_not_allowed`, `audience_not_allowed`, `scope_not_allowed`, `too_many_attempts`,
   * `invalid_credentials`, `overloaded`; and only after the right password `account_disabled`, `role_required`.
   */
  login(request: LoginRequest): Promise<LoginResult>;
  /** Ends all other sessions. Throws `wrong_password`, `password_rejected`, `too_many_attempts`, `overloaded`. */
  changePassword(who: Authenticated, current: string, next: string, caller: Caller): Promise<void>;
  find(id: UserId): Promise<User | null>;
}

export interface AccountsParts {
  users: UserStore;
  sessions: SessionStore;
  clients: Clients;
  audit: AuditLog;
  hasher: PasswordHasher;
  acceptPassword: AcceptPassword;
  tokens: Pick<SessionTokens, 'ensureCanIssue' | 'issue'>;
  guard: Pick<Guard, 'password' | 'ownPassword' | 'slow'>;
  devices: Devices;
  revocations: Pick<Revocations, 'enforce'>;
  clock: Clock;
  random: Random;
  ids: Ids;
}

type LoginRefusal = 'invalid_credentials' | 'account_disabled' | 'role_required';

export const makeUser = (
  { email, passwordHash, roles }: { email: Email; passwordHash: string; roles: readonly string[] },
  at: Instant,
  ids: Ids,
): User => ({
  id: ids.uuid() as UserId,
  email: email.shown,
  emailVerified: false,
  passwordHash,
  passwordChangedAt: at,
  roles,
  disabledAt: null,
  createdAt: at,
});

export function createAccounts(parts: AccountsParts): Accounts {
  const { users, sessions, clients, audit, hasher, acceptPassword, tokens } = parts;
  const { guard, devices, revocations, clock, random, ids } = parts;

  async function register({ email: typed, password, caller }: { email: string; password: string; caller: Caller }) {
    const email = parseEmail(typed);
    const accepted = await acceptPassword(password, email);
    const passwordHash = await guard.slow(caller, () => hasher.hash(accepted));
    const user = makeUser({ email, passwordHash, roles: [] }, clock.now(), ids);
    const about = { actor: `user:${user.id}`, userId: user.id };
    const created = auditEvent('user.created', 'success', user.createdAt, caller, about);
    if (!(await users.create(user, email.key, created))) throw new Refusal('email_taken');
    return user;
  }

  async function login(request: LoginRequest): Promise<LoginResult> {
    const email = parseEmail(request.email);
    const client = await clients.forPublicGrant(request.clientId, 'password');
    const audience = chooseAudience(client, request.audience);
    const scope = chooseScope(client, request.scope);
    const device = await devices.recognise(request.deviceToken, email);
    const who = { caller: request.caller, emailKey: email.key, device: device?.id ?? null };
    const owner = await guard.password(who, async () => {
      const user = await users.findByEmailKey(email.key);
      const password = normalizePassword(request.password);
      const refused = (code: LoginRefusal) => loginFailed(code, user, client, request.caller);
      if (!(await isRight(password, user)) || user === null) return await refused('invalid_credentials');
      if (user.disabledAt !== null) return await refused('account_disabled');
      if (!hasRoles({ roles: user.roles, requiredRoles: client.requiredRoles })) return await refused('role_required');
      return user;
    });
    const issued = await startSession(owner, client, audience, scope, request);
    const deviceToken = await devices.remember(device, owner.id, issued.response.session_id as SessionId);
    return { ...issued, delivery: client.tokenDelivery, deviceToken, knownDevice: device !== null };
  }

  /** Whoever the user is, and whether there is one, it takes one hash. */
  async function isRight(password: string, user: User | null): Promise<boolean> {
    if (user === null || isTooLong(password)) {
      await hasher.verifyNothing(password);
      return false;
    }
    const { ok, rehash } = await hasher.verify(password, user.passwordHash);
    if (ok && rehash) await rehashed(password, user);
    return ok;
  }

  async function rehashed(password: string, user: User): Promise<void> {
    try {
      await users.rehash(user.id, user.passwordHash, await hasher.hash(password));
    } catch (error) {
      // The password was right, and the next login is early enough for its hash.
      if (!(error instanceof Refusal && error.code === 'overloaded')) throw error;
    }
  }

  async function loginFailed(code: LoginRefusal, user: User | null, client: Client, caller: Caller): Promise<never> {
    // Written for an unknown e-mail too, so that both take the same time.
    await audit.append(
      auditEvent('login.failed', 'failure', clock.now(), caller, {
        actor: 'anonymous',
        clientId: client.clientId,
        ...(user === null ? {} : { userId: user.id }),
        details: { reason: code },
      }),
    );
    throw new Refusal(code, user === null ? {} : { subject: { sub: user.id } });
  }

  async function startSession(user: User, client: Client, audience: string, scope: string, request: LoginRequest) {
    // No session begins whose tokens nobody would get.
    tokens.ensureCanIssue();
    const at: Instant = clock.now();
    const secret = random.bytes(SECRET_BYTES);
    const expiresAt = later(at, client.absoluteTtl);
    const session = {
      id: ids.uuid() as SessionId,
      userId: user.id,
      clientId: client.clientId,
      audience,
      scope,
      generation: 0,
      currentHash: sha256(secret),
      previousHash: null,
      rotationSalt: random.bytes(SALT_BYTES),
      rotations: [],
      familyKey: random.bytes(FAMILY_KEY_BYTES),
      idleExpiresAt: Math.min(later(at, client.idleTtl), expiresAt) as Instant,
      expiresAt,
      revokedAt: null,
      revokeReason: null,
      stepUpAt: null,
      createdAt: at,
    };
    const succeeded = auditEvent('login.succeeded', 'success', at, request.caller, {
      actor: `user:${user.id}`,
      userId: user.id,
      sessionId: session.id,
      clientId: client.clientId,
    });
    const stored = { ...session, deviceName: request.deviceName ?? null, caller: request.caller };
    // While the hash was computed the account may have been disabled, or its password changed.
    if (!(await sessions.create(stored, user.passwordChangedAt, succeeded))) throw new Refusal('invalid_credentials');
    return tokens.issue({ session, roles: user.roles, accessTokenTtl: client.accessTokenTtl }, secret, at);
  }

  const aboutPassword = (
    event: 'password.changed' | 'password.change_failed',
    outcome: AuditEvent['outcome'],
    { userId, sessionId, clientId }: Authenticated,
    caller: Caller,
  ) => auditEvent(event, outcome, clock.now(), caller, { actor: `user:${userId}`, userId, sessionId, clientId });

  async function changePassword(who: Authenticated, current: string, next: string, caller: Caller): Promise<void> {
    const user = await users.find(who.userId);
    if (user === null) throw new Refusal('token_revoked');
    await guard.ownPassword(caller, who.sessionId, async () => {
      const { ok } = await hasher.verify(normalizePassword(current), user.passwordHash);
      if (ok) return;
      await audit.append(aboutPassword('password.change_failed', 'failure', who, caller));
      throw new Refusal('wrong_password', { subject: { sub: user.id } });
    });
    const accepted = await acceptPassword(next, parseEmail(user.email));
    const passwordHash = await guard.slow(caller, () => hasher.hash(accepted));
    const changed = await users.changePassword({
      userId: user.id,
      passwordHash,
      unlessChangedSince: user.passwordChangedAt,
      keep: who.sessionId,
      audit: aboutPassword('password.changed', 'success', who, caller),
    });
    // Somebody else changed it first, and the current password given is no longer the current one.
    if (!changed) throw new Refusal('wrong_password');
    await revocations.enforce();
  }

  return { register, login, changePassword, find: (id) => users.find(id) };
}
