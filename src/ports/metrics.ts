import type { CountedOutcome } from '../domain/refresh-outcome.js';

export interface AnsweredRequest {
  method: string;
  /** The route's pattern, never the path: whoever sends a request must not choose what is kept for it. */
  route: string;
  status: number;
  /** From its first header to the end of the answer. */
  seconds: number;
}

/** Counters for whoever runs the service. Counting never fails, and never waits. */
export interface Metrics {
  /** Once for every refresh, whatever became of it. */
  refreshed(outcome: CountedOutcome): void;
  answered(request: AnsweredRequest): void;
  /** A token of which it could not be told whether it is revoked. */
  revocationUnknown(outcome: 'refused' | 'let_through'): void;
  /** How many follow the revocations now. */
  followers(count: number): void;
}

/** Where nobody asks for the counts. */
export const countNothing: Metrics = { refreshed() {}, answered() {}, revocationUnknown() {}, followers() {} };
