import type { Policy } from '../domain/anomalies/policy.js';
import type { CountedOutcome } from '../domain/refresh-outcome.js';
import type { Level, ShedReason } from '../domain/shedding.js';
import type { RenewalOutcome } from '../domain/sliding-sessions.js';
import type { Cleaned } from './expired-rows.js';
import type { RequestSubject } from './request-limiter.js';

export interface AnsweredRequest {
  method: string;
  /** The route's pattern, never the path: whoever sends a request must not choose what is kept for it. */
  route: string;
  status: number;
  /** From its first header to the end of the answer. */
  seconds: number;
}

/** How much there is to do, and what is refused because it is too much. */
export interface LoadMetrics {
  /** Whether requests are counted for all nodes; else each node counts for itself. */
  requestsShared(shared: boolean): void;
  /** A request was refused because its subject had had all. */
  requestRefused(subject: RequestSubject): void;
  /** How many connections are open now. */
  connections(open: number): void;
  /** A connection too many, of the whole process or of one address. */
  connectionRefused(reason: 'process' | 'address'): void;
  /** A request was shed. */
  shed(reason: ShedReason): void;
  /** How much is shed now, and by how many seconds the event loop is late. */
  shedding(level: Level, eventLoopDelay: number): void;
}

export interface RevocationMetrics {
  /** A token of which it could not be told whether it is revoked. */
  revocationUnknown(outcome: 'refused' | 'let_through'): void;
  /** From the commit until every node refuses the token. */
  revocationEnforced(seconds: number): void;
  /** Somebody was told that it is not enforced yet. */
  revocationPending(): void;
  /** How many follow the revocations now. */
  followers(count: number): void;
}

/** What the service does by itself. */
export interface HousekeepingMetrics {
  /** A batch of rows that had ended was removed. */
  cleanedUp(what: Cleaned, rows: number, seconds: number): void;
  /** Rows that had ended and are still there. */
  cleanUpBacklog(what: Cleaned, rows: number): void;
  /** Audit events that no seal has yet, and for how long the oldest of them has been there. */
  auditUnsealed(events: number, oldestS: number): void;
}

export interface DetectionMetrics {
  /** Something was done about a session that looks stolen. */
  anomaly(action: Policy): void;
  /** Uses of sessions that wait to be judged. */
  detectionQueue(uses: number): void;
  /** Uses that nobody has judged, or will. */
  detectionDropped(uses: number): void;
  /** From a use until it was judged and acted upon. */
  detected(seconds: number): void;
}

export interface WebhookMetrics {
  /** An attempt to deliver a webhook is over. */
  webhookAttempted(outcome: WebhookOutcome): void;
  /** Deliveries that are pending, for how long the oldest has been, and endpoints that are disabled. */
  webhookBacklog(pending: number, oldestS: number, disabled: number): void;
}

/** Counters for whoever runs the service. Counting never fails, and never waits. */
export interface Metrics extends LoadMetrics, RevocationMetrics, HousekeepingMetrics, DetectionMetrics, WebhookMetrics {
  /** Once for every refresh, whatever became of it. */
  refreshed(outcome: CountedOutcome): void;
  /** Once for every renewal that was due. */
  renewed(outcome: RenewalOutcome): void;
  answered(request: AnsweredRequest): void;
  /** Whether failed attempts are counted for all nodes; else each node counts for itself. */
  failuresShared(shared: boolean): void;
  /** Failed attempts have reached a limit. */
  blocked(subject: Counted): void;
}

/** `retried`: it failed, and is tried again; `failed`: it was given up. */
export const webhookOutcomes = ['delivered', 'retried', 'failed'] as const;
export type WebhookOutcome = (typeof webhookOutcomes)[number];

/** What failed attempts are counted for. */
export const countedSubjects = ['address', 'account', 'device'] as const;
export type Counted = (typeof countedSubjects)[number];

/** Where nobody asks for the counts. */
export const countNothing: Metrics = {
  refreshed() {},
  renewed() {},
  answered() {},
  revocationUnknown() {},
  cleanedUp() {},
  cleanUpBacklog() {},
  revocationEnforced() {},
  revocationPending() {},
  auditUnsealed() {},
  followers() {},
  failuresShared() {},
  requestsShared() {},
  requestRefused() {},
  connections() {},
  connectionRefused() {},
  shed() {},
  shedding() {},
  blocked() {},
  anomaly() {},
  detectionQueue() {},
  detectionDropped() {},
  detected() {},
  webhookAttempted() {},
  webhookBacklog() {},
};
