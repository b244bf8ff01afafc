/** What the audit trail is told of a refresh. */
import { auditEvent } from './audit.js';
import type { Presented, RefreshOutcome } from './refresh.js';
import type { PresentedToken } from './refresh-token.js';
import type { AuditEvent, Caller, Instant, Session } from './types.js';

/** Whose session it is the store adds, which is the first to know. */
export const rotationEvent = ({ sessionId, generation }: PresentedToken, at: Instant, caller: Caller): AuditEvent =>
  auditEvent('refresh.rotated', 'success', at, caller, {
    actor: 'anonymous',
    sessionId,
    details: { generation: generation + 1 },
  });

/** The password came with a rotation, which ended the demand for it. */
export const proofEvent = ({ sessionId }: PresentedToken, at: Instant, caller: Caller): AuditEvent =>
  auditEvent('session.stepped_up', 'success', at, caller, { actor: 'anonymous', sessionId });

/** The password came with an answer that was given before: it is good for that one, and is asked for again. */
export const repeatEvent = (
  { id, userId, clientId }: Session,
  outcome: RefreshOutcome,
  at: Instant,
  caller: Caller,
): AuditEvent => {
  const about = { actor: `user:${userId}`, userId, sessionId: id, clientId, details: { outcome } };
  return auditEvent('session.stepped_up', 'success', at, caller, about);
};

/** How old the token is that was presented, for whoever has to find out where a copy of it came from. */
export function historyOf({ generation, rotations }: Session, { token, key }: Presented, at: Instant) {
  const age = generation - token.generation;
  const usedUp = rotations[age - 1];
  return {
    presented: token.generation,
    stored: generation,
    generations_ago: age,
    used_up_s_ago: usedUp === undefined ? null : Math.floor((at - usedUp.at) / 1000),
    with_key: key !== null,
  };
}
