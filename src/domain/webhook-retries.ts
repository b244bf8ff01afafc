/** What becomes of a delivery, and of its endpoint, after an attempt: pure functions. */
import type { SendResult } from '../ports/webhook-sender.js';
import { auditEvent, byService } from './audit.js';
import { type AuditEvent, type Instant, later } from './types.js';
import { type DeliveryState, type EndpointState, hostOf, type SendError, type WebhookEndpoint } from './webhooks.js';

const HOUR_S = 3600;
const DAY_S = 86_400;
/** Seconds from an attempt to the next one: the example of Standard Webhooks, three days in all. */
export const RETRIES_S = [5, 300, HOUR_S / 2, ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR_S)];
/** What failed together is not to come together again: up to a fifth is added. */
const JITTER = 0.2;
/** Longer than this nobody is left alone because he asks for it. Seconds. */
const LONGEST_WISH_S = HOUR_S;
/** More than the schedule takes: those that must queue for a receiver that hangs are not tried for weeks. Seconds. */
const LONGEST_S = 4 * DAY_S;
/** Of one endpoint the audit trail is told again no sooner: one that refuses some of its events has many episodes. Seconds. */
const TOLD_S = DAY_S;
/** An endpoint that took nothing for so long, and not the delivery that was tried all the time either, is disabled. Seconds. */
const PATIENCE_S = 5 * DAY_S;
/** How long what is done can be looked at; what failed, sent again. Seconds. */
export const KEPT_DELIVERED_S = 3 * DAY_S;
export const KEPT_FAILED_S = 7 * DAY_S;

export type WebhookNews = 'failing' | 'recovered' | 'given_up' | 'disabled';

export interface Tried {
  /** 1, 2, 3 … */
  attempt: number;
  /** Where it was sent to. */
  url: string;
  /** Since when it is pending. */
  madeAt: Instant;
}

export interface Settlement {
  delivery: {
    state: DeliveryState;
    nextAt: Instant | null;
    at: Instant;
    status: number | null;
    error: SendError | null;
    expiresAt: Instant | null;
  };
  endpoint: Partial<EndpointState>;
  audit: AuditEvent[];
  /** For the log. */
  news: WebhookNews[];
}

const isTaken = (result: SendResult): boolean => 'status' in result && result.status >= 200 && result.status < 300;

/** How long it asks to be left alone, seconds. */
function wishOf(result: SendResult): number {
  if (!('status' in result) || (result.status !== 429 && result.status !== 503)) return 0;
  return Math.min(Math.max(result.retryAfterS ?? 0, 0), LONGEST_WISH_S);
}

/** `chance`, from 0 to 1, spreads the next attempts. */
export function settle(
  endpoint: WebhookEndpoint,
  { attempt, url, madeAt }: Tried,
  result: SendResult,
  at: Instant,
  chance: number,
): Settlement {
  const answer = 'status' in result ? { status: result.status, error: null } : { status: null, error: result.error };
  const isMoved = url !== endpoint.url;
  if (isTaken(result)) {
    const isBack = endpoint.failingSince !== null && !isMoved;
    return {
      delivery: { state: 'delivered', nextAt: null, at, ...answer, expiresAt: later(at, KEPT_DELIVERED_S) },
      endpoint: isBack ? { failingSince: null, notBefore: null } : {},
      audit: [],
      news: isBack ? ['recovered'] : [],
    };
  }

  // What is answered where it was before says nothing of where it is now.
  if (isMoved) {
    const again = { state: 'pending' as const, nextAt: at, at, ...answer, expiresAt: null };
    return { delivery: again, endpoint: {}, audit: [], news: [] };
  }

  const failingSince = endpoint.failingSince ?? at;
  const news: WebhookNews[] = endpoint.failingSince === null ? ['failing'] : [];
  const about = { webhook_id: endpoint.id, host: hostOf(endpoint.url), since: new Date(failingSince).toISOString() };
  const event = (name: AuditEvent['event'], details: object) =>
    auditEvent(name, 'failure', at, byService.caller, { actor: byService.actor, details: { ...about, ...details } });
  const disabled = (reason: 'gone' | 'failing') => ({
    changes: { disabledAt: at, disabledReason: reason },
    audit: event('webhook.disabled', { reason, ...answer }),
  });
  const failed = { state: 'failed' as const, nextAt: null, at, ...answer, expiresAt: later(at, KEPT_FAILED_S) };

  if (answer.status === 410) {
    const { changes, audit } = disabled('gone');
    return { delivery: failed, endpoint: { failingSince, ...changes }, audit: [audit], news: [...news, 'disabled'] };
  }
  const delay = RETRIES_S[attempt - 1];
  const isTooLate = attempt > 1 && at >= later(madeAt, LONGEST_S);
  if (delay !== undefined && !isTooLate) {
    const wish = wishOf(result);
    const nextAt = later(at, Math.max(delay * (1 + JITTER * chance), wish));
    return {
      delivery: { state: 'pending', nextAt, at, ...answer, expiresAt: null },
      endpoint: { failingSince, ...(wish > 0 ? { notBefore: later(at, wish) } : {}) },
      audit: [],
      news,
    };
  }
  const { toldAt } = endpoint;
  const isNew = toldAt === null || (toldAt < failingSince && at >= later(toldAt, TOLD_S));
  const gaveUp = disabled('failing');
  const isHopeless = at >= later(failingSince, PATIENCE_S);
  return {
    delivery: failed,
    endpoint: { failingSince, toldAt: isNew ? at : toldAt, ...(isHopeless ? gaveUp.changes : {}) },
    audit: [
      ...(isNew ? [event('webhook.failed', { attempts: attempt, ...answer })] : []),
      ...(isHopeless ? [gaveUp.audit] : []),
    ],
    news: [...news, ...(isNew ? ['given_up' as const] : []), ...(isHopeless ? ['disabled' as const] : [])],
  };
}
