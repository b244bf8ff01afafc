/** /oauth/revoke (RFC 7009) and /oauth/introspect (RFC 7662): clients give tokens back, and services ask about them. */

import { Refusal } from '../domain/errors.js';
import { anyClient, authenticatedClient, clientFields } from './client-authentication.js';
import { callerOf } from './request-log.js';
import { bodyCodes, oauthRefusals } from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

const Form = Type.Object(
  {
    token: Type.String({ minLength: 1, description: 'An access token or a refresh token' }),
    token_type_hint: Type.Optional(Type.String({ description: 'Not needed: the token says what it is' })),
    ...clientFields,
  },
  { description: 'Unknown parameters are ignored (RFC 6749 §3.2)' },
);

const seconds = (description: string) => Type.Optional(Type.Number({ description: `${description}; seconds` }));
const text = (description: string) => Type.Optional(Type.String({ description }));

const Introspection = Type.Object(
  {
    active: Type.Boolean({ description: 'Where false, nothing else is said' }),
    iss: text('The issuer'),
    sub: text('The user; for client credentials the client'),
    aud: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
    client_id: text('The client that it was issued to'),
    scope: text('Blank-separated'),
    exp: seconds('When it expires; of a refresh token, if it is not used before'),
    token_type: text('`Bearer`, for an access token'),
    iat: seconds('When it was issued'),
    nbf: seconds('From when on it is good'),
    jti: text('Its own id'),
    roles: Type.Optional(Type.Array(Type.String(), { description: 'Of the user, when it was issued' })),
    sid: text('The session; absent for client credentials'),
  },
  { additionalProperties: false, title: 'Introspection', description: 'RFC 7662 §2.2' },
);

const consumes = ['application/x-www-form-urlencoded'];
const clientCodes = ['invalid_client', 'too_many_attempts', ...bodyCodes] as const;

export function tokenStateRoutes(app: App, services: Services): void {
  app.post(
    '/oauth/revoke',
    {
      schema: {
        tags: ['oauth'],
        operationId: 'revokeToken',
        summary: 'Give a token back (RFC 7009)',
        description:
          'A refresh token ends its session, an access token is refused from now on, by everybody who asks or follows the feed. A client revokes its own tokens alone; for any other, and for what is no token, the answer is the same and nothing happens. Public clients say their client_id, confidential ones authenticate.',
        consumes,
        security: [{ client: [] }, {}],
        body: Form,
        response: {
          200: Type.Null({ description: 'It is no good any more, wherever it is checked' }),
          ...oauthRefusals(...clientCodes, 'revocation_pending'),
        },
      },
    },
    async (request, reply) => {
      const client = await anyClient(request, request.body, services);
      await services.revokeToken(request.body.token, client, callerOf(request));
      // RFC 7009 §2.2: the body means nothing.
      return reply
        .code(200)
        .serializer(() => '')
        .send(null);
    },
  );

  app.post(
    '/oauth/introspect',
    {
      schema: {
        tags: ['oauth'],
        operationId: 'introspect',
        summary: 'What a token is worth at the moment (RFC 7662)',
        description:
          'For confidential clients. `{"active": false}` for whatever they should not accept: tokens that are malformed, expired, revoked or for audiences that are not theirs, and refresh tokens of others.',
        consumes,
        security: [{ client: [] }],
        body: Form,
        response: { 200: Introspection, ...oauthRefusals(...clientCodes, 'revocation_unknown') },
      },
    },
    async (request) => {
      const client = await authenticatedClient(request, request.body, services);
      if (client === null) throw new Refusal('invalid_client');
      const { answer, revocation } = await services.introspect(request.body.token, client);
      request.outcome.unchecked = revocation === 'unknown';
      return answer;
    },
  );
}
