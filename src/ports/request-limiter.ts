/** What is left to a subject in the minute that goes on. */
export interface Quota {
  /** False: the subject has had all. */
  granted: boolean;
  /** Requests that are left after this one. */
  left: number;
  /** Seconds until it has all of them again, 1 at least. */
  resetsIn: number;
}

/**
 * Counts requests of an address (or whatever else `subject` names) by the minute. It never waits: where nodes count
 * together, each knows of the others' requests a moment later.
 */
export interface RequestLimiter {
  /** Requests a minute. */
  readonly limit: number;
  /** Counts one, if there is one left. */
  take(subject: string): Quota;
  /** The same without counting: for a subject that is claimed, and not proved yet. */
  look(subject: string): Quota;
  /** Takes a request back that was counted, and turned out to be another subject's. */
  giveBack(subject: string): void;
}

/** Requests are counted for: an address, a client that has proved who it is, a session; and a session at a gateway. */
export const requestSubjects = ['address', 'client', 'session', 'check'] as const;
export type RequestSubject = (typeof requestSubjects)[number];

/** What is counted apart: a subject of one kind has nothing to do with one of another. */
export type RequestLimiterOf = (kind: RequestSubject, limit: number) => RequestLimiter;
