/** /oauth/token: the standard token endpoint (RFC 6749), for the grants `refresh_token` and `client_credentials`. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../domain/errors.js';
import { authenticatedClient, clientFields } from './client-authentication.js';
import { Audience, bodyCodes, oauthRefusals, RefreshToken, refreshCodes, Scope, TokenResponse } from './schemas.js';
import type { Services } from './services.js';
import { type RefreshFrom, refreshAndAnswer, refreshHeaders, refreshOutcome } from './session-routes.js';
import { Type } from './type.js';
import type { App } from './typed.js';

const Form = Type.Object(
  {
    grant_type: Type.String({ maxLength: 128, description: '`refresh_token` or `client_credentials`' }),
    refresh_token: Type.Optional(RefreshToken),
    scope: Type.Optional(Scope),
    audience: Type.Optional(Audience),
    resource: Type.Optional(Audience),
    ...clientFields,
  },
  { description: 'Unknown parameters are ignored (RFC 6749 §3.2)' },
);

const invalid = (detail: string) => new Refusal('invalid_request', { detail });

export function oauthRoutes(app: App, services: Services): void {
  app.post(
    '/oauth/token',
    {
      schema: {
        tags: ['oauth'],
        operationId: 'token',
        summary: 'Token endpoint (RFC 6749)',
        description:
          '`grant_type=refresh_token` is the refresh of `/v1/refresh`. `grant_type=client_credentials` is for confidential clients, with HTTP Basic or with client_id and client_secret in the form.',
        consumes: ['application/x-www-form-urlencoded'],
        security: [{ client: [] }, {}],
        headers: refreshHeaders,
        body: Form,
        response: {
          200: {
            ...Type.Object(
              {
                access_token: Type.String(),
                token_type: Type.Literal('Bearer'),
                expires_in: Type.Integer({ description: 'Seconds' }),
                scope: Type.String(),
                refresh_token: Type.Optional(TokenResponse.properties.refresh_token),
                refresh_token_expires_in: Type.Optional(TokenResponse.properties.refresh_token_expires_in),
                session_id: Type.Optional(TokenResponse.properties.session_id),
              },
              { additionalProperties: false, title: 'OAuthTokenResponse', description: 'RFC 6749 §5.1' },
            ),
            headers: refreshOutcome,
          },
          ...oauthRefusals(
            'invalid_client',
            'unsupported_grant_type',
            'grant_not_allowed',
            'audience_not_allowed',
            'scope_not_allowed',
            ...refreshCodes,
            ...bodyCodes,
          ),
        },
      },
    },
    async (request, reply) => {
      const form = request.body;
      const client = await authenticatedClient(request, form, services);
      switch (form.grant_type) {
        case 'refresh_token':
          return await refreshGrant(request, reply, form.refresh_token, {
            clientId: client?.clientId ?? form.client_id ?? null,
            forOthers: client !== null,
            password: null,
          });
        case 'client_credentials':
          if (client === null) throw new Refusal('invalid_client');
          return await services.issueToClient(client, { audience: oneAudience(form), scope: form.scope });
        default:
          throw new Refusal('unsupported_grant_type');
      }
    },
  );

  async function refreshGrant(
    request: FastifyRequest,
    reply: FastifyReply,
    token: string | undefined,
    from: RefreshFrom,
  ) {
    if (token === undefined) throw invalid('refresh_token is required');
    return refreshAndAnswer(request, reply, services, token, from);
  }
}

/** `audience`, or `resource` (RFC 8707), which say the same here. */
function oneAudience({ audience, resource }: { audience?: string; resource?: string }): string | undefined {
  if (audience !== undefined && resource !== undefined && audience !== resource) {
    throw invalid('audience and resource differ');
  }
  return audience ?? resource;
}
