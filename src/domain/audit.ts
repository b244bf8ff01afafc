import type { AuditEvent, By, Caller, Instant } from './types.js';

/** What happens by itself. */
export const byService: By = {
  actor: 'service',
  userId: null,
  caller: { ip: null, place: null, userAgent: null, requestId: null },
};

/** An event for the audit trail: what happened, to whom, from where. It never holds a secret. */
export const auditEvent = (
  event: AuditEvent['event'],
  outcome: AuditEvent['outcome'],
  at: Instant,
  caller: Caller,
  about: Omit<AuditEvent, 'event' | 'outcome' | 'at' | keyof Caller>,
): AuditEvent => ({
  event,
  outcome,
  at,
  ip: caller.ip,
  place: caller.place,
  userAgent: caller.userAgent,
  requestId: caller.requestId,
  bySessionId: caller.bySessionId ?? null,
  byJti: caller.byJti ?? null,
  ...about,
});
