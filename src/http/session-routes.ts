/** /v1/refresh, /v1/logout, /v1/sessions: the life of a session after its login. */

import type { FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../domain/errors.js';
import { parseIdempotencyKey, type Refresh } from '../domain/refresh.js';
import { parseRefreshToken } from '../domain/refresh-token.js';
import type { TokenResponse as TokenResponseBody } from '../domain/session-tokens.js';
import type { SessionId, SessionSummary } from '../domain/types.js';
import { authenticate, authenticateLeaving, bearerOf, guarded } from './bearer.js';
import { observe } from './observation.js';
import { callerOf } from './request-log.js';
import {
  bearerRouteCodes,
  bearerSecurity,
  bodyCodes,
  Closed,
  NoContent,
  Password,
  RefreshToken,
  refreshCodes,
  refusals,
  Timestamp,
  TokenResponse,
  Uuid,
} from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

export const refreshHeaders = Type.Object({
  'Idempotency-Key': Type.Optional(
    Type.String({
      description:
        'Drawn anew for each refresh token and repeated with every retry of it: 1 to 255 visible ASCII characters',
    }),
  ),
});

/** Of a response, for the OpenAPI document. */
export const refreshOutcome = {
  'Keyturn-Refresh-Outcome': Type.String({
    enum: ['rotated', 'replayed', 'concurrent'],
    description: 'Whether this request rotated the token, repeated one that did, or came at the same time as one',
  }),
};

export interface RefreshFrom {
  clientId: string | null;
  forOthers: boolean;
  /** Of the user, where the request has a place for it. */
  password: string | null;
}

/**
 * Shared with the token endpoint, which has its own way of saying who asks: a service that has proved who it is (`forOthers`)
 * presents what its users have given it, and is not blocked by their guesses.
 */
export async function refreshAndAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  { refresh }: { refresh: Refresh },
  refreshToken: string,
  { clientId, forOthers, password }: RefreshFrom,
): Promise<TokenResponseBody> {
  const header = request.headers['idempotency-key'];
  const idempotencyKey = header === undefined ? null : parseIdempotencyKey(String(header));
  const caller = callerOf(request);
  const { limits } = request.server;
  const claimed = parseRefreshToken(refreshToken)?.sessionId;
  if (claimed !== undefined) limits.admitSession(claimed);
  const attempt = () => refresh({ refreshToken, idempotencyKey, clientId, password, caller });
  const result = await guarded(request, attempt, forOthers).catch((error) => {
    const { genuine, subject } = error instanceof Refusal ? error : { genuine: false };
    if (genuine && subject?.sid !== undefined) limits.countSession(request, subject.sid);
    throw error;
  });
  limits.countSession(request, result.response.session_id);
  request.outcome.code = result.outcome;
  request.outcome.subject = result.subject;
  // A replay is the same use again, and a service that has proved who it is has another address than its user.
  if (result.outcome === 'rotated' && !forOthers) observe(request, 'refresh', result.subject);
  reply.header('keyturn-refresh-outcome', result.outcome);
  return result.response;
}

const Summary = Closed(
  {
    id: Uuid,
    client_id: Type.String(),
    device_name: Type.Union([Type.String(), Type.Null()]),
    user_agent: Type.Union([Type.String(), Type.Null()]),
    ip: Type.Union([Type.String(), Type.Null()]),
    place: Type.Union([Type.String(), Type.Null()]),
    created_at: Timestamp,
    last_seen_at: Timestamp,
    flagged: Type.Union(
      [Closed({ at: Timestamp, reasons: Type.Array(Type.String({ description: 'For people' })) }), Type.Null()],
      { description: 'Why it may be somebody else’s by now; null where nothing speaks for that' },
    ),
    current: Type.Boolean({ description: 'Whether it is the session of the token' }),
  },
  { title: 'Session' },
);

const shown = (session: SessionSummary, current: SessionId) => ({
  id: session.id,
  client_id: session.clientId,
  device_name: session.deviceName,
  user_agent: session.userAgent,
  ip: session.ip,
  place: session.place,
  created_at: new Date(session.createdAt).toISOString(),
  last_seen_at: new Date(session.lastSeenAt).toISOString(),
  flagged: session.flagged && { ...session.flagged, at: new Date(session.flagged.at).toISOString() },
  current: session.id === current,
});

export function sessionRoutes(app: App, services: Services): void {
  const { sessions } = services;

  app.post(
    '/v1/refresh',
    {
      schema: {
        tags: ['session'],
        operationId: 'refresh',
        summary: 'Exchange a refresh token for the next one and an access token',
        description:
          'A request that is repeated with its Idempotency-Key gets the same answer again. After `password_required` the token is still good: send it again, with the password.',
        headers: refreshHeaders,
        body: Closed({
          refresh_token: RefreshToken,
          password: Type.Optional({
            ...Password,
            description: 'Of the user, after `password_required`; else it is not looked at',
          }),
        }),
        response: {
          200: { ...TokenResponse, headers: refreshOutcome },
          ...refusals('/v1/refresh', ...refreshCodes, 'wrong_password', ...bodyCodes),
        },
      },
    },
    async (request, reply) =>
      refreshAndAnswer(request, reply, services, request.body.refresh_token, {
        clientId: null,
        forOthers: false,
        password: request.body.password ?? null,
      }),
  );

  app.post(
    '/v1/logout',
    {
      schema: {
        tags: ['session'],
        operationId: 'logout',
        summary: 'End this session',
        description:
          'With a bearer token, or with the refresh token in the body; an unknown refresh token is no error.',
        security: [{ bearer: [] }, {}],
        body: Type.Union([Closed({ refresh_token: Type.Optional(RefreshToken) }), Type.Null()]),
        response: {
          204: NoContent,
          ...refusals('/v1/logout', 'revocation_pending', ...bearerRouteCodes, ...bodyCodes),
        },
      },
    },
    async (request, reply) => {
      const refreshToken = request.body?.refresh_token;
      if (refreshToken === undefined) {
        await sessions.logout(await authenticateLeaving(request, sessions), callerOf(request));
      } else {
        if (bearerOf(request) !== null)
          throw new Refusal('invalid_request', { detail: 'either a bearer token or a refresh_token, not both' });
        await sessions.logoutByRefreshToken(refreshToken, null, callerOf(request));
      }
      return reply.code(204).send(null);
    },
  );

  app.get(
    '/v1/sessions',
    {
      schema: {
        tags: ['session'],
        operationId: 'listSessions',
        summary: 'The devices that are logged in, the last seen first',
        security: bearerSecurity,
        response: {
          200: Closed({ sessions: Type.Array(Summary) }, { description: 'The live sessions of the account' }),
          ...refusals('/v1/sessions', ...bearerRouteCodes),
        },
      },
    },
    async (request) => {
      const who = await authenticate(request, sessions);
      return { sessions: (await sessions.list(who)).map((session) => shown(session, who.sessionId)) };
    },
  );

  app.delete(
    '/v1/sessions/:id',
    {
      schema: {
        tags: ['session'],
        operationId: 'endSession',
        summary: 'End one session',
        security: bearerSecurity,
        params: Closed({ id: Uuid }),
        response: {
          204: NoContent,
          ...refusals('/v1/sessions/:id', 'not_found', 'revocation_pending', ...bearerRouteCodes, ...bodyCodes),
        },
      },
    },
    async (request, reply) => {
      const who = await authenticate(request, sessions);
      await sessions.endOne(who, request.params.id as SessionId, callerOf(request));
      return reply.code(204).send(null);
    },
  );

  app.delete(
    '/v1/sessions',
    {
      schema: {
        tags: ['session'],
        operationId: 'endSessions',
        summary: 'End all other sessions',
        security: bearerSecurity,
        querystring: Closed({
          include_current: Type.Optional(
            Type.String({ enum: ['true', 'false'], description: '`true`: this session ends too' }),
          ),
        }),
        response: {
          204: NoContent,
          ...refusals('/v1/sessions', 'revocation_pending', ...bearerRouteCodes, ...bodyCodes),
        },
      },
    },
    async (request, reply) => {
      const who = await authenticate(request, sessions);
      await sessions.endAll(who, request.query.include_current === 'true', callerOf(request));
      return reply.code(204).send(null);
    },
  );
}
