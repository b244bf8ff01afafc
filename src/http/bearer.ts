/** The bearer token of a request (RFC 6750 §2.1): in one Authorization header, and nowhere else. */
import type { FastifyRequest } from 'fastify';
import type { AccessToken } from '../domain/access-token.js';
import { Refusal } from '../domain/errors.js';
import type { Guard } from '../domain/limits.js';
import { type Authenticated, type Bearer, type Demand, type Sessions, subjectOf } from '../domain/sessions.js';
import type { By } from '../domain/types.js';
import { callerOf, isToldOf } from './request-log.js';

declare module 'fastify' {
  interface FastifyInstance {
    guard: Pick<Guard, 'token'>;
  }
  interface FastifyContextConfig {
    /**
     * Whoever calls this does it for somebody else: his own address, unless he is a trusted proxy that tells of the other's,
     * is not that of the bearer.
     */
    asksForOthers?: boolean;
  }
}

/** How often a header is there, where Node keeps the first or joins them. */
export function timesSent(request: FastifyRequest, name: string): number {
  const { rawHeaders } = request.raw;
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === name) count++;
  return count;
}

/** Node keeps the first of several; two of them are somebody trying what passes. */
export function authorizationOf(request: FastifyRequest): string | undefined {
  if (timesSent(request, 'authorization') > 1)
    throw new Refusal('invalid_request', { detail: 'headers: Authorization is there more than once' });
  return request.headers.authorization;
}

/** Null when there is no bearer token; throws `token_malformed` when there is something in its place. */
export function bearerOf(request: FastifyRequest): string | null {
  const header = authorizationOf(request);
  if (header === undefined || !/^bearer(\s|$)/i.test(header)) return null;
  const token = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i.exec(header)?.[1];
  if (token === undefined) throw new Refusal('token_malformed');
  return token;
}

/** Counts what is presented in place of a good token, if it is known whose address that comes from. */
export function guarded<T>(
  request: FastifyRequest,
  attempt: () => Promise<T>,
  forOthers = request.routeOptions.config.asksForOthers === true,
): Promise<T> {
  const { guard } = request.server;
  return forOthers && !isToldOf(request) ? attempt() : guard.token(() => callerOf(request), attempt);
}

async function checked<Good extends Bearer>(
  request: FastifyRequest,
  check: (bearer: string) => Promise<Good>,
  count = countToken,
): Promise<Good> {
  const who = await guarded(request, async () => {
    const bearer = bearerOf(request);
    if (bearer === null) throw new Refusal('token_missing');
    return await check(bearer);
  });
  request.outcome.subject = subjectOf(who.token);
  request.outcome.unchecked = who.revocation === 'unknown';
  count(request, who.token);
  // Renewed at the end of the request, and not at that of one too many.
  request.accessToken = who.token;
  return who;
}

/** Of a session, or of a client itself. */
function countToken(request: FastifyRequest, { sid, clientId }: AccessToken): void {
  if (sid !== null) request.server.limits.spendSession(request, 'session', sid);
  else if (clientId !== null) request.server.limits.spendClient(request, clientId);
}

/** Of a session that is to end: nobody is kept in it by what was asked in its name. */
function countLeaving(request: FastifyRequest, { sid }: AccessToken): void {
  if (sid !== null) request.server.limits.countSession(request, sid);
}

/** What a client itself asks of backends is theirs to limit. */
function countCheck(request: FastifyRequest, { sid }: AccessToken): void {
  if (sid !== null) request.server.limits.spendSession(request, 'check', sid);
}

/** The person behind the request. Throws the codes of a bearer check. */
export const authenticate = (request: FastifyRequest, sessions: Sessions): Promise<Authenticated> =>
  checked(request, sessions.authenticate);

/** The same for one who leaves, and does not have to wait until his session has requests left. */
export const authenticateLeaving = (request: FastifyRequest, sessions: Sessions): Promise<Authenticated> =>
  checked(request, sessions.authenticate, countLeaving);

/** The token of whoever asks, if it has the scope. Throws the codes of a bearer check and `insufficient_scope`. */
export const authorize = (request: FastifyRequest, sessions: Sessions, scope: string): Promise<Bearer> =>
  checked(request, (bearer) => sessions.authorize(bearer, scope));

/** The token of a request that passes through a gateway. Throws the codes of a bearer check and `insufficient_scope`. */
export const check = (request: FastifyRequest, sessions: Sessions, demand: Demand): Promise<Bearer> =>
  checked(request, (bearer) => sessions.check(bearer, demand), countCheck);

/** The administrator behind the request. */
export async function administratorOf(request: FastifyRequest, sessions: Sessions): Promise<By> {
  const { userId } = await checked(request, sessions.authenticateAdmin);
  return { actor: `user:${userId}`, userId, caller: callerOf(request) };
}
