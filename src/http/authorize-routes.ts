/**
 * /v1/authorize: what a gateway asks before it lets a request through to a backend that knows nothing of tokens. Its proxy
 * may send the original request's method, headers and query; of these nothing but the bearer token counts.
 */
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import type { AccessToken } from '../domain/access-token.js';
import { Refusal } from '../domain/errors.js';
import { subjectOf } from '../domain/sessions.js';
import { check } from './bearer.js';
import { observe } from './observation.js';
import { Audience, bearerCodes, bearerSecurity, Closed, refusals, Scope } from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

export interface AuthorizeSettings {
  /** The audience where the check does not say it; null: each has to. */
  authorizeAudience: string | null;
}

/**
 * A value that stays one value, whatever is in it: a line's end or a blank would begin another. `%` too, so that it can be
 * undone.
 */
const encoded = (value: string): string => value.replace(/[^\x21-\x24\x26-\x7e]/gu, encodeURIComponent);
const encodedList = (values: readonly string[]): string => values.map(encoded).join(' ');

/** All of them in every answer, empty where there is nothing to say: a proxy would leave what came from outside in place. */
const identityOf = ({ sub, sid, clientId, scope, roles }: AccessToken) => ({
  'X-Auth-Subject': encoded(sub),
  'X-Auth-Session': encoded(sid ?? ''),
  'X-Auth-Client': encoded(clientId ?? ''),
  'X-Auth-Scope': encodedList(scope.split(' ')),
  'X-Auth-Roles': encodedList(roles ?? []),
});

const meanings: Record<keyof ReturnType<typeof identityOf>, string> = {
  'X-Auth-Subject': 'The `sub` of the token: the user, or the client whose own token it is',
  'X-Auth-Session': 'The session; empty for the token of a client itself',
  'X-Auth-Client': 'The client',
  'X-Auth-Scope': 'The scopes, blank-separated',
  'X-Auth-Roles': 'The roles of the user, blank-separated',
};
const headers = Object.fromEntries(
  Object.entries(meanings).map(([name, description]) => [name, Type.String({ description })]),
);

const SOME_TYPE = 'application/octet-stream';

/** What a proxy passes on of a body, or says of it, is not looked at. */
function ignoreBodies(app: App): void {
  app.addHook('onRequest', async ({ raw }) => {
    raw.headers['content-type'] = SOME_TYPE;
  });
  app.addContentTypeParser(SOME_TYPE, (_request, _body, done) => done(null));
}

const querystring = Closed({
  audience: Type.Optional({ ...Audience, description: 'What the token must be for. Default: `AUTHORIZE_AUDIENCE`' }),
  scope: Type.Optional({ ...Scope, description: 'What the token must have: all of these, blank-separated' }),
});

const documented = {
  tags: ['gateway'],
  operationId: 'authorize',
  summary: 'Whether a request may pass, and whose it is',
  description:
    'For `auth_request` of nginx, `forward_auth` of Caddy and the like, with any method; a body is not read. The token is checked with its revocation, without the database. In the headers of the answer all but visible ASCII is percent-encoded, and `%`.',
  security: bearerSecurity,
  response: {
    200: Type.Null({ description: 'It may pass', headers }),
    ...refusals(
      '/v1/authorize',
      'audience_required',
      ...bearerCodes,
      'insufficient_scope',
      'too_many_attempts',
      'revocation_unknown',
    ),
  },
};

export function authorizeRoutes(app: App, { sessions }: Services, { authorizeAudience }: AuthorizeSettings): void {
  ignoreBodies(app);
  const route = {
    exposeHeadRoute: false,
    // Answered to whoever does the check, which is no browser: a preflight's 204 would let something through. Nor are
    // these the requests of one address: they are as many as the backends behind a gateway have.
    config: { cors: { preflight: false }, uncounted: true, asksForOthers: true },
  };

  async function answer(request: FastifyRequest, reply: FastifyReply, audience: string | null, scope: string) {
    if (audience === null) throw new Refusal('audience_required');
    const scopes = scope.split(' ').filter((value) => value !== '');
    const { token } = await check(request, sessions, { audience, scopes });
    observe(request, 'check', subjectOf(token));
    return reply.headers(identityOf(token)).send();
  }

  for (const method of app.supportedMethods as HTTPMethods[]) {
    app.route({
      ...route,
      method,
      url: '/v1/authorize',
      schema: { querystring, ...(method === 'GET' ? documented : { hide: true }) },
      // Before the schema, which would say no more than that the request is malformed.
      preValidation: async ({ query }) => {
        const audience = 'audience' in query ? query.audience : authorizeAudience;
        if (typeof audience !== 'string' || audience === '') throw new Refusal('audience_required');
      },
      handler: (request, reply) =>
        answer(request, reply, request.query.audience ?? authorizeAudience, request.query.scope ?? ''),
    });
  }

  // Envoy puts the path and the query of the original request behind the one it was given: nothing of them is a demand.
  app.route({
    ...route,
    method: app.supportedMethods as HTTPMethods[],
    url: '/v1/authorize/original/*',
    schema: { querystring: Type.Unknown(), hide: true },
    handler: (request, reply) => answer(request, reply, authorizeAudience, ''),
  });
}
