/** /v1/users, /v1/login, /v1/me: a person's account. */

import { Refusal } from '../domain/errors.js';
import type { User as DomainUser } from '../domain/types.js';
import { authenticate } from './bearer.js';
import { deliver, type HeaderDelivery } from './header-delivery.js';
import { observe } from './observation.js';
import { callerOf } from './request-log.js';
import {
  Audience,
  bearerRouteCodes,
  bearerSecurity,
  bodyCodes,
  ClientId,
  Closed,
  Email,
  HeaderTokenResponse,
  LoginResponse,
  NoContent,
  Password,
  refusals,
  Scope,
  shownText,
  User,
} from './schemas.js';
import type { Services } from './services.js';
import { Type } from './type.js';
import type { App } from './typed.js';

const shown = (user: DomainUser) => ({
  id: user.id,
  email: user.email,
  email_verified: user.emailVerified,
  created_at: new Date(user.createdAt).toISOString(),
});

/** Of a response, for the OpenAPI document. */
const deliveredToken = {
  jwt: Type.String({
    description: 'With header delivery: the access token, in the header that `ACCESS_TOKEN_HEADER` names',
  }),
};

export function accountRoutes(app: App, { accounts, sessions }: Services, delivery: HeaderDelivery): void {
  app.post(
    '/v1/users',
    {
      schema: {
        tags: ['account'],
        operationId: 'register',
        summary: 'Register',
        body: Closed({ email: Email, password: Password }),
        response: { 201: User, ...refusals('/v1/users', 'email_taken', 'password_rejected', ...bodyCodes) },
      },
    },
    async (request, reply) => {
      const { email, password } = request.body;
      const user = await accounts.register({ email, password, caller: callerOf(request) });
      request.outcome.subject = { sub: user.id };
      return reply.code(201).send(shown(user));
    },
  );

  app.post(
    '/v1/login',
    {
      schema: {
        tags: ['session'],
        operationId: 'login',
        summary: 'Log in: begins a session on this device',
        body: Closed({
          email: Email,
          password: Password,
          client_id: Type.Optional(ClientId),
          audience: Type.Optional(Audience),
          scope: Type.Optional(Scope),
          device_token: Type.Optional(
            Type.String({
              maxLength: 256,
              description:
                'Of an earlier login: whoever guesses elsewhere does not slow this device down. One that is not good is ignored',
            }),
          ),
          device_name: Type.Optional(shownText(100, 'Shown in the list of sessions')),
        }),
        response: {
          200: Type.Union([LoginResponse, HeaderTokenResponse], {
            description: 'The tokens of the session',
            headers: deliveredToken,
          }),
          ...refusals(
            '/v1/login',
            'unknown_client',
            'invalid_credentials',
            'account_disabled',
            'audience_not_allowed',
            'scope_not_allowed',
            'grant_not_allowed',
            'role_required',
            'too_many_attempts',
            'signing_key_unavailable',
            ...bodyCodes,
          ),
        },
      },
    },
    async (request, reply) => {
      const {
        email,
        password,
        client_id: clientId = 'default',
        audience,
        scope,
        device_name: deviceName,
        device_token: deviceToken,
      } = request.body;
      const asked = { email, password, clientId, audience, scope, deviceName, deviceToken };
      const issued = await accounts.login({ ...asked, caller: callerOf(request) });
      request.outcome.subject = issued.subject;
      observe(request, 'login', issued.subject, issued.knownDevice);
      const device = { device_token: issued.deviceToken };
      if (issued.delivery === 'body') return { ...issued.response, ...device };
      const { access_token: token, session_id, expires_in } = issued.response;
      deliver(reply, delivery, token);
      return { session_id, expires_in, ...device };
    },
  );

  app.get(
    '/v1/me',
    {
      schema: {
        tags: ['account'],
        operationId: 'getMe',
        summary: 'Who the token belongs to',
        security: bearerSecurity,
        response: { 200: User, ...refusals('/v1/me', ...bearerRouteCodes) },
      },
    },
    async (request) => {
      const who = await authenticate(request, sessions);
      const user = await accounts.find(who.userId);
      if (user === null) throw new Refusal('token_revoked');
      return shown(user);
    },
  );

  app.post(
    '/v1/me/password',
    {
      schema: {
        tags: ['account'],
        operationId: 'changePassword',
        summary: 'Change the password: all other sessions end',
        security: bearerSecurity,
        body: Closed({ current_password: Password, new_password: Password }),
        response: {
          204: NoContent,
          ...refusals(
            '/v1/me/password',
            'wrong_password',
            'password_rejected',
            'too_many_attempts',
            'revocation_pending',
            ...bearerRouteCodes,
            ...bodyCodes,
          ),
        },
      },
    },
    async (request, reply) => {
      const who = await authenticate(request, sessions);
      const { current_password: current, new_password: next } = request.body;
      await accounts.changePassword(who, current, next, callerOf(request));
      return reply.code(204).send(null);
    },
  );
}
