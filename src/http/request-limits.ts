/**
 * How many requests an address, a client and a session may make in a minute. What is left is told in the fields RateLimit
 * and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers-11.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Refusal } from '../domain/errors.js';
import type { Metrics } from '../ports/metrics.js';
import type { Quota, RequestLimiter, RequestSubject } from '../ports/request-limiter.js';
import { networkOf } from './addresses.js';

/** Null: that limit is off. */
export type RequestLimiters = Record<RequestSubject, RequestLimiter | null>;

interface Counted {
  kind: RequestSubject;
  quota: Quota;
}

declare module 'fastify' {
  interface FastifyInstance {
    limits: RequestLimits;
  }
  interface FastifyRequest {
    /** What this request was counted for; null: nothing. */
    counted: Counted[] | null;
  }
  interface FastifyContextConfig {
    /** Not counted for its address, and never refused for it. */
    uncounted?: boolean;
  }
}

const WINDOW_S = 60;

export interface RequestLimits {
  /** Counts it for its address, whatever becomes of it. */
  arrived(request: FastifyRequest): void;
  /** Throws `too_many_requests` when its address has had all. */
  admit(request: FastifyRequest): void;
  /** Counts bytes that are no request. False: the address has had all. */
  admitsBytes(address: string | undefined): boolean;
  /** Throws `too_many_requests` when the session has had all. Counts nothing: anybody can claim to be of a session. */
  admitSession(sessionId: string): void;
  /** Counts it for a session that is proved, and refuses nothing: what it asked for is done. */
  countSession(request: FastifyRequest, sessionId: string): void;
  /** Counts it for a session that is proved, at a gateway's check or elsewhere. Throws `too_many_requests`. */
  spendSession(request: FastifyRequest, kind: 'session' | 'check', sessionId: string): void;
  /**
   * Counts it for a client that is proved, and no longer for the address: all users of a web server come from there. So it
   * is where the limit of clients is off. Throws `too_many_requests`.
   */
  spendClient(request: FastifyRequest, clientId: string): void;
}

/** A browser's, or passed on by a gateway for its backends, whose address is not that of who asks. It costs next to nothing. */
const isPreflight = ({ method, headers }: FastifyRequest): boolean =>
  method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;

const subjectOf = (ip: string | null): string => (ip === null ? 'unknown' : networkOf(ip));

export function createRequestLimits(
  limiters: RequestLimiters,
  metrics: Pick<Metrics, 'requestRefused'>,
): RequestLimits {
  function refuseSpent(kind: RequestSubject, { granted, resetsIn }: Quota): void {
    if (granted) return;
    metrics.requestRefused(kind);
    throw new Refusal('too_many_requests', { retryAfter: resetsIn });
  }

  function count(request: FastifyRequest, kind: RequestSubject, subject: string): Quota | null {
    const quota = limiters[kind]?.take(subject) ?? null;
    if (quota === null) return null;
    if (request.counted === null) request.counted = [{ kind, quota }];
    else request.counted.push({ kind, quota });
    return quota;
  }

  function spend(request: FastifyRequest, kind: RequestSubject, subject: string): void {
    const quota = count(request, kind, subject);
    if (quota !== null) refuseSpent(kind, quota);
  }

  const isOfAddress = ({ kind }: Counted): boolean => kind === 'address';

  return {
    arrived(request) {
      if (request.routeOptions.config.uncounted === true || isPreflight(request)) return;
      count(request, 'address', subjectOf(request.outcome.ip));
    },
    admit(request) {
      const counted = request.counted?.find(isOfAddress);
      if (counted !== undefined) refuseSpent('address', counted.quota);
    },
    admitsBytes: (address) => limiters.address?.take(subjectOf(address ?? null)).granted ?? true,
    admitSession(sessionId) {
      const quota = limiters.session?.look(sessionId);
      if (quota !== undefined) refuseSpent('session', quota);
    },
    countSession: (request, sessionId) => void count(request, 'session', sessionId),
    spendSession: spend,
    spendClient(request, clientId) {
      if (request.counted?.some(isOfAddress)) {
        limiters.address?.giveBack(subjectOf(request.outcome.ip));
        request.counted = request.counted.filter((counted) => !isOfAddress(counted));
      }
      spend(request, 'client', clientId);
    },
  };
}

/** Each answer says what is left to those for whom its request was counted. */
export function tellWhatIsLeft(app: FastifyInstance, limiters: RequestLimiters): void {
  const policies = Object.fromEntries(
    Object.entries(limiters).map(([kind, limiter]) => [kind, `"${kind}";q=${limiter?.limit};w=${WINDOW_S}`]),
  );
  app.addHook('onSend', (request, reply, payload, done) => {
    const { counted } = request;
    if (counted !== null && counted.length > 0) {
      reply.header('ratelimit-policy', counted.map(({ kind }) => policies[kind]).join(', '));
      const left = counted.map(({ kind, quota }) => `"${kind}";r=${quota.left};t=${quota.resetsIn}`);
      reply.header('ratelimit', left.join(', '));
    }
    done(null, payload);
  });
}
