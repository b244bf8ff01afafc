/** The password of somebody whose session goes on with it alone: counted like any guess at a password of one's own. */
import type { AuditLog } from '../ports/audit-log.js';
import type { Clock } from '../ports/clock.js';
import type { PasswordHasher } from '../ports/password-hasher.js';
import type { UserStore } from '../ports/user-store.js';
import { auditEvent } from './audit.js';
import { Refusal } from './errors.js';
import type { Guard } from './limits.js';
import { normalizePassword } from './passwords.js';
import type { Caller, Session } from './types.js';

/** Throws `wrong_password`, `too_many_attempts`, `overloaded`. */
export type ProvePassword = (session: Session, password: string, caller: Caller) => Promise<void>;

export interface ProvePasswordParts {
  users: Pick<UserStore, 'find'>;
  hasher: Pick<PasswordHasher, 'verify'>;
  guard: Pick<Guard, 'ownPassword'>;
  audit: AuditLog;
  clock: Clock;
}

export function createProvePassword({ users, hasher, guard, audit, clock }: ProvePasswordParts): ProvePassword {
  return async (session, password, caller) => {
    const user = await users.find(session.userId);
    if (user === null) throw new Refusal('session_revoked');
    const { id, userId, clientId } = session;
    const subject = { sub: userId, sid: id, clientId };
    const attempt = async () => {
      const { ok } = await hasher.verify(normalizePassword(password), user.passwordHash);
      if (ok) return;
      const about = { actor: `user:${userId}`, userId, sessionId: id, clientId };
      await audit.append(auditEvent('session.step_up_failed', 'failure', clock.now(), caller, about));
      throw new Refusal('wrong_password', { subject });
    };
    await guard.ownPassword(caller, id, attempt).catch((error) => {
      // It has been counted here; whoever counts refresh tokens next is told that this one was genuine.
      const isWrong = error instanceof Refusal && error.code === 'wrong_password';
      throw isWrong ? new Refusal('wrong_password', { subject, genuine: true }) : error;
    });
  };
}
