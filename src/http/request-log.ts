/** One structured line a request: who, from where, what came of it. Never a token, a password or a key. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { copyOf } from '../domain/copy-of.js';
import type { ErrorCode } from '../domain/errors.js';
import type { RenewalOutcome } from '../domain/sliding-sessions.js';
import type { Caller, SessionId, Subject } from '../domain/types.js';
import type { Places } from '../ports/places.js';
import { addressIn } from './addresses.js';

export interface Outcome {
  /** The code of a refusal, or what a refresh came to. */
  code: ErrorCode | string | null;
  subject: Subject;
  /** A token was let through though it is not known whether it is revoked. */
  unchecked: boolean;
  /** What became of a renewal of the token that was due, and the token that took its place. */
  renewal: { outcome: RenewalOutcome; jti: string | undefined } | null;
  /** Noted when the request comes: the socket of somebody who has hung up tells it no more. */
  ip: string | null;
}

declare module 'fastify' {
  interface FastifyRequest {
    outcome: Outcome;
  }
  interface FastifyInstance {
    places: Places;
  }
}

const MAX_USER_AGENT_LENGTH = 512;
/** Longer path segments may be a token that somebody put into the address by mistake. */
const MAX_SEGMENT_LENGTH = 40;
const MAX_PATH_LENGTH = 200;

/** What a proxy passes on may be anything; where it is no address, the proxy's own is the last that is known. */
function addressOf({ ip, ips }: FastifyRequest): string | null {
  const address = addressIn(ip) ?? addressIn(ips?.findLast((known) => addressIn(known) !== null));
  return address === null || ips === undefined ? address : copyOf(address);
}

/** Whether the caller's address is another's than the socket's, whom a trusted proxy has told of. */
export const isToldOf = ({ ip, ips }: FastifyRequest): boolean => (ips?.length ?? 0) > 1 && addressIn(ip) !== null;

export function userAgentOf({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const given = headers['user-agent'] ?? null;
  return given === null || given.length <= MAX_USER_AGENT_LENGTH
    ? given
    : copyOf(given.slice(0, MAX_USER_AGENT_LENGTH));
}

/** Where it comes from and, of one whose bearer token has been checked, with what. */
export function callerOf(request: FastifyRequest): Caller {
  const { ip, subject } = request.outcome;
  const { sid, jti } = subject;
  return {
    ip,
    place: ip && request.server.places.placeOf(ip),
    userAgent: userAgentOf(request),
    requestId: request.id,
    bySessionId: (sid as SessionId | undefined) ?? null,
    byJti: jti ?? null,
  };
}

/** The path without its query, and without anything that is long enough to be a secret. */
const safePath = (url: string): string =>
  (url.split('?', 1)[0] ?? '')
    .split('/')
    .map((segment) => (segment.length > MAX_SEGMENT_LENGTH ? '…' : segment))
    .join('/')
    .slice(0, MAX_PATH_LENGTH);

export const newOutcome = (request: FastifyRequest): Outcome => ({
  code: null,
  subject: {},
  unchecked: false,
  renewal: null,
  ip: addressOf(request),
});

export function registerOutcome(app: FastifyInstance): void {
  app.decorateRequest('outcome');
  app.addHook('onRequest', (request, _reply, done) => {
    request.outcome = newOutcome(request);
    done();
  });
}

/** `hasHungUp`: the client did not wait for the answer. */
export function logRequest(request: FastifyRequest, reply: FastifyReply, hasHungUp: boolean): void {
  const { code, subject, unchecked, renewal, ip } = request.outcome;
  request.log.info(
    {
      method: request.method,
      path: request.routeOptions.url ?? safePath(request.url),
      status: reply.statusCode,
      ...(code === null ? {} : { code }),
      ip,
      sub: subject.sub,
      sid: subject.sid,
      jti: subject.jti,
      client_id: subject.clientId,
      ...(unchecked ? { revocation: 'unknown' } : {}),
      ...(renewal === null ? {} : { renewal: renewal.outcome, renewed_jti: renewal.jti }),
      ...(hasHungUp ? { hung_up: true } : {}),
      ms: Math.round(reply.elapsedTime * 10) / 10,
    },
    'request',
  );
}
