/** An audit event as it was stored. One form in which it is shown, exported and hashed: an export can be verified too. */
export interface AuditRecord {
  id: string;
  /** RFC 3339, UTC, milliseconds. */
  at: string;
  event: string;
  outcome: string;
  actor: string;
  user_id: string | null;
  session_id: string | null;
  client_id: string | null;
  jti: string | null;
  by_session_id: string | null;
  by_jti: string | null;
  ip: string | null;
  place: string | null;
  user_agent: string | null;
  request_id: string | null;
  details: Record<string, unknown> | null;
}

/** In the order in which they are shown. */
export const auditMembers = [
  ...(['id', 'at', 'event', 'outcome', 'actor', 'user_id', 'session_id', 'client_id', 'jti'] as const),
  ...(['by_session_id', 'by_jti', 'ip', 'place', 'user_agent', 'request_id', 'details'] as const),
] satisfies (keyof AuditRecord)[];

/** What is looked for; all of it has to be so. */
export interface AuditFilter {
  userId?: string;
  /** Concerned, or used. */
  sessionId?: string;
  jti?: string;
  clientId?: string;
  /** A name, or a group of them: `login.*`. */
  event?: string;
  outcome?: string;
  actor?: string;
  ip?: string;
  requestId?: string;
  /** What the detection of anomalies did, and what people did then. */
  isAnomaly?: true;
  /** From this instant on, and before that one. Milliseconds since the epoch. */
  since?: number;
  until?: number;
}

/** By the time of the events, and where that is the same by their ids. */
export type AuditOrder = 'newest_first' | 'oldest_first';

/** Where a part of a list ended. */
export interface AuditPlace {
  /** Milliseconds since the epoch. */
  at: number;
  id: string;
}
