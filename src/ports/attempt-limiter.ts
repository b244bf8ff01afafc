/** Counts failed attempts for an address (or whatever else `subject` names) and blocks it when there are too many. */
export interface AttemptLimiter {
  /** Seconds for which the subject is still blocked; 0 when it is not. */
  blockedFor(subject: string): Promise<number>;
  /** Counts a failure; resolves to the seconds for which the subject is now blocked, 0 when it is not. */
  fail(subject: string): Promise<number>;
}
