/**
 * Sessions that slide: a client with header delivery has an access token and nothing else, and each request with one that
 * is older than its `renew_after` is answered with a fresh one. The idle end is a column of the session, written at the
 * same occasion and no more often; the tokens before stay good until they expire, so that of many requests at once none
 * hurts another.
 */
import { validate as isUuid } from 'uuid';
import type { Clock } from '../ports/clock.js';
import type { Metrics } from '../ports/metrics.js';
import type { SessionStore } from '../ports/session-store.js';
import type { AccessToken } from './access-token.js';
import type { ClientDirectory } from './client-directory.js';
import { createForgetOldest } from './oldest.js';
import { hasRoles } from './refresh.js';
import type { Revocations } from './revocations.js';
import type { RenewedToken, SessionTokens } from './session-tokens.js';
import { isLive } from './sessions.js';
import { type Caller, type Instant, type SessionId, seconds } from './types.js';

/** Sessions whose renewed token is at hand for their next request; the one that was renewed first is forgotten first. */
const MAX_HELD = 5_000;
/** A request does not wait longer than this for what it can do without. Milliseconds. */
const RENEWAL_TIMEOUT_MS = 1_000;
/** Milliseconds. After a failure nobody tries for so long, since each would be waited for; after a refusal not for that session. */
const PAUSE_MS = { afterFailure: 1_000, afterRefusal: 10_000 };
const NEVER = Number.NEGATIVE_INFINITY;

export const renewalOutcomes = ['renewed', 'repeated', 'refused', 'failed'] as const;
export type RenewalOutcome = (typeof renewalOutcomes)[number];

/** What became of a renewal that was due. */
export interface Renewal {
  outcome: RenewalOutcome;
  renewed: RenewedToken | null;
  /** Why it failed, said by the one request in a while that tried. */
  cause?: unknown;
}

/**
 * A fresh token in place of one that was found good; null where none is due. It never rejects: what ends a session is told
 * by the check, and what cannot be renewed now is renewed at the next request.
 */
export type RenewToken = (token: AccessToken, caller: () => Caller) => Promise<Renewal | null>;

export interface SlidingSessionsParts {
  store: Pick<SessionStore, 'slide'>;
  directory: Pick<ClientDirectory, 'renewAfter'>;
  tokens: Pick<SessionTokens, 'renew'>;
  revocations: Pick<Revocations, 'covers'>;
  metrics: Metrics;
  clock: Clock;
  within: <T>(ms: number, work: Promise<T>) => Promise<T>;
}

type IsDue = (token: { iat: number }) => boolean;

interface Held {
  renewed: RenewedToken | null;
  making: Promise<RenewedToken | null> | null;
  /** It may not be renewed, and is not asked about again until then. On the monotonic clock. */
  refusedUntil: number;
}

export function createSlidingSessions(parts: SlidingSessionsParts): RenewToken {
  const { store, directory, tokens, revocations, metrics, clock, within } = parts;
  const held = new Map<string, Held>();
  const forgetOldest = createForgetOldest(held);
  let hasFailed = false;
  let pausedUntil = NEVER;

  async function make(sessionId: SessionId, caller: Caller): Promise<RenewedToken | null> {
    const at: Instant = clock.now();
    const found = await store.slide({ sessionId, at, caller });
    if (found === null || !isLive(found, at) || !hasRoles(found) || found.session.stepUpAt !== null) return null;
    // Whichever node asks, it is the same use: it is not counted as later than it was written down.
    return tokens.renew(found, Math.min(at, found.lastSeenAt) as Instant);
  }

  function hold(sid: SessionId): Held {
    const entry: Held = { renewed: null, making: null, refusedUntil: NEVER };
    held.delete(sid);
    held.set(sid, entry);
    if (held.size > MAX_HELD) forgetOldest();
    return entry;
  }

  /** One at a time for a session. */
  function makeOnce(sid: SessionId, caller: Caller): Promise<RenewedToken | null> {
    const known = held.get(sid);
    if (known?.making) return known.making;
    const entry = hold(sid);
    entry.making = make(sid, caller)
      .then((renewed) => {
        entry.renewed = renewed;
        if (renewed === null) entry.refusedUntil = clock.monotonic() + PAUSE_MS.afterRefusal;
        return renewed;
      })
      .finally(() => {
        entry.making = null;
      });
    return entry.making;
  }

  async function tryNow(sid: SessionId, caller: Caller): Promise<Renewal> {
    // Where it failed before, one tries and the others do not wait for what comes of it.
    if (hasFailed) pausedUntil = clock.monotonic() + RENEWAL_TIMEOUT_MS + PAUSE_MS.afterFailure;
    try {
      const renewed = await within(RENEWAL_TIMEOUT_MS, makeOnce(sid, caller));
      hasFailed = false;
      pausedUntil = NEVER;
      return { outcome: renewed === null ? 'refused' : 'renewed', renewed };
    } catch (cause) {
      hasFailed = true;
      pausedUntil = clock.monotonic() + PAUSE_MS.afterFailure;
      return { outcome: 'failed', renewed: null, cause };
    }
  }

  async function renewal(token: AccessToken, sid: SessionId, caller: Caller, isDue: IsDue): Promise<Renewal> {
    const { renewed: recent = null, refusedUntil = NEVER } = held.get(sid) ?? {};
    // It may be of a clock that was ahead, and a token of the session may have been revoked by itself.
    const isGood =
      recent !== null &&
      recent.iat <= seconds(clock.now()) &&
      !isDue(recent) &&
      !revocations.covers({ ...token, ...recent });
    if (isGood) return { outcome: 'repeated', renewed: recent };
    if (clock.monotonic() < refusedUntil) return { outcome: 'refused', renewed: null };
    if (clock.monotonic() < pausedUntil) return { outcome: 'failed', renewed: null };
    return tryNow(sid, caller);
  }

  return async (token, caller) => {
    const { sid, clientId } = token;
    const renewAfter = clientId === null ? null : directory.renewAfter(clientId);
    if (sid === null || renewAfter === null || !isUuid(sid)) return null;
    const isDue: IsDue = ({ iat }) => seconds(clock.now()) - iat >= renewAfter;
    if (!isDue(token)) return null;
    const result = await renewal(token, sid as SessionId, caller(), isDue);
    metrics.renewed(result.outcome);
    return result;
  };
}
