/** What the feed of revocations says, read strictly: what is not understood cannot be enforced. */
import { HttpFailure } from './http.js';
import { isObject, type JsonObject } from './strict-json.js';

/** One access token, one session, all that a user or a client was given before an instant, or all of everybody. */
export type Revocation = {
  /** Seconds from the revocation until the last token that it can concern has expired. */
  lifetime: number;
} & (
  | { kind: 'jti' | 'sid'; value: string }
  /** Refuses tokens that were issued before `notBefore`, in seconds since the epoch. */
  | { kind: 'sub' | 'client'; value: string; notBefore: number }
  | { kind: 'all'; notBefore: number }
);

export interface Page {
  revocations: Revocation[];
  cursor: string;
  hasMore: boolean;
}

const notUnderstood = (what: string): HttpFailure => new HttpFailure(`the revocation feed: ${what} is not understood`);

function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw notUnderstood(what);
  return value;
}

/** Seconds since the epoch. */
function instant(value: unknown, what: string): number {
  const ms = Date.parse(text(value, what));
  if (Number.isNaN(ms)) throw notUnderstood(what);
  return ms / 1000;
}

/** Throws HttpFailure. */
export function readRevocation(from: unknown): Revocation {
  if (!isObject(from)) throw notUnderstood('a revocation');
  const { kind } = from;
  const lifetime = instant(from.expires_at, 'expires_at') - instant(from.revoked_at, 'revoked_at');
  switch (kind) {
    case 'jti':
    case 'sid':
      return { kind, value: text(from.value, 'value'), lifetime };
    case 'sub':
    case 'client':
      return { kind, value: text(from.value, 'value'), notBefore: instant(from.not_before, 'not_before'), lifetime };
    case 'all':
      return { kind, notBefore: instant(from.not_before, 'not_before'), lifetime };
    default:
      throw notUnderstood('a kind of revocation');
  }
}

/** Throws HttpFailure. */
export function readPage({ revocations, cursor, has_more: hasMore }: JsonObject): Page {
  if (!Array.isArray(revocations)) throw notUnderstood('a page');
  if (typeof hasMore !== 'boolean') throw notUnderstood('has_more');
  return { revocations: revocations.map(readRevocation), cursor: text(cursor, 'cursor'), hasMore };
}

/** Milliseconds since the epoch, by the clock of the service. Throws HttpFailure. */
export function readAsOf(from: unknown): number {
  if (!isObject(from)) throw notUnderstood('as_of');
  return instant(from.as_of, 'as_of') * 1000;
}

/** Throws HttpFailure. */
export function readData(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    throw notUnderstood('an event');
  }
}
