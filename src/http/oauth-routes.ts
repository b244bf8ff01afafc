/** /oauth/token: the standard token endpoint (RFC 6749), for the grants `refresh_token` and `client_credentials`. */

import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { Refusal } from '../domain/errors.js';
import type { Client } from '../domain/types.js';
import { authorizationOf } from './bearer.js';
import { acceptForms, formDecode } from './bodies.js';
import { callerOf } from './request-log.js';
import {
  Audience,
  bodyCodes,
  ClientId,
  isClientId,
  oauthRefusals,
  RefreshToken,
  refreshCodes,
  Scope,
  TokenResponse,
} from './schemas.js';
import type { Services } from './services.js';
import { refreshAndAnswer, refreshHeaders, refreshOutcome } from './session-routes.js';
import type { App } from './typed.js';

const Form = Type.Object(
  {
    grant_type: Type.String({ maxLength: 128, description: '`refresh_token` or `client_credentials`' }),
    refresh_token: Type.Optional(RefreshToken),
    scope: Type.Optional(Scope),
    audience: Type.Optional(Audience),
    resource: Type.Optional(Audience),
    client_id: Type.Optional(ClientId),
    client_secret: Type.Optional(Type.String({ maxLength: 1024, format: 'password' })),
  },
  { description: 'Unknown parameters are ignored (RFC 6749 §3.2)' },
);

type Fields = Record<'client_id' | 'client_secret', string | undefined>;

interface Credentials {
  clientId: string;
  secret: string;
}

const invalid = (detail: string) => new Refusal('invalid_request', { detail });

/** RFC 6749 §2.3.1: `client_secret_basic` or `client_secret_post`, not both; null when there is no secret. */
function credentialsOf(request: FastifyRequest, form: Fields): Credentials | null {
  const header = authorizationOf(request);
  if (header !== undefined) {
    const basic = basicCredentials(header);
    if (form.client_secret !== undefined) throw invalid('the client authenticates in two ways at once');
    if (form.client_id !== undefined && form.client_id !== basic.clientId)
      throw invalid('client_id is not that of the header');
    return basic;
  }
  if (form.client_secret === undefined) return null;
  if (form.client_id === undefined) throw invalid('client_id is required');
  return { clientId: form.client_id, secret: form.client_secret };
}

function basicCredentials(header: string): Credentials {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(header)?.[1];
  const pair = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const at = pair.indexOf(':');
  if (at < 1) throw new Refusal('invalid_client');
  const credentials = decodePair(pair.slice(0, at), pair.slice(at + 1));
  // What a form's client_id may not be, nor what the database cannot compare (NUL), is no client here either.
  if (credentials === null || !isClientId(credentials.clientId)) throw new Refusal('invalid_client');
  return credentials;
}

function decodePair(clientId: string, secret: string): Credentials | null {
  try {
    return { clientId: formDecode(clientId), secret: formDecode(secret) };
  } catch {
    return null;
  }
}

export function oauthRoutes(app: App, services: Services): void {
  const { clients, guard, issueToClient } = services;
  acceptForms(app);

  async function authenticated(request: FastifyRequest, form: Fields): Promise<Client | null> {
    const credentials = credentialsOf(request, form);
    if (credentials === null) return null;
    const { clientId, secret } = credentials;
    const client = await guard.secret(callerOf(request), () => clients.authenticate(clientId, secret));
    request.outcome.subject = { clientId };
    return client;
  }

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
      const fields = { client_id: form.client_id, client_secret: form.client_secret };
      const client = await authenticated(request, fields);
      switch (form.grant_type) {
        case 'refresh_token':
          return await refreshGrant(request, reply, form.refresh_token, client?.clientId ?? form.client_id ?? null);
        case 'client_credentials':
          if (client === null) throw new Refusal('invalid_client');
          return await issueToClient(client, { audience: oneAudience(form), scope: form.scope });
        default:
          throw new Refusal('unsupported_grant_type');
      }
    },
  );

  async function refreshGrant(
    request: FastifyRequest,
    reply: FastifyReply,
    token: string | undefined,
    clientId: string | null,
  ) {
    if (token === undefined) throw invalid('refresh_token is required');
    return refreshAndAnswer(request, reply, services, token, clientId);
  }
}

/** `audience`, or `resource` (RFC 8707), which say the same here. */
function oneAudience({ audience, resource }: { audience?: string; resource?: string }): string | undefined {
  if (audience !== undefined && resource !== undefined && audience !== resource) {
    throw invalid('audience and resource differ');
  }
  return audience ?? resource;
}
