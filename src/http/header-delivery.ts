/** The access token in a response header: at the login of a client with header delivery, and renewed at each request. */
import type { FastifyReply } from 'fastify';
import type { AccessToken } from '../domain/access-token.js';
import { subjectOf } from '../domain/sessions.js';
import type { RenewToken } from '../domain/sliding-sessions.js';
import { observe } from './observation.js';
import { callerOf } from './request-log.js';
import type { App } from './typed.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The bearer token, once it has been found good. */
    accessToken: AccessToken | null;
  }
}

export interface HeaderDelivery {
  /** Lower case. */
  accessTokenHeader: string;
}

export function deliver(reply: FastifyReply, { accessTokenHeader }: HeaderDelivery, token: string): void {
  reply.header(accessTokenHeader, token);
}

/**
 * Renews the token of every authenticated request, whatever its answer. Last of all, so that a session which the request
 * itself has ended gets no token any more.
 */
export function renewTokens(app: App, renew: RenewToken, delivery: HeaderDelivery): void {
  app.decorateRequest('accessToken', null);
  app.addHook('onSend', async (request, reply) => {
    // One of which it is not known whether it is revoked gets no successor, which would not be.
    if (request.accessToken === null || request.outcome.unchecked) return;
    const renewal = await renew(request.accessToken, () => callerOf(request));
    if (renewal === null) return;
    const { outcome, renewed, cause } = renewal;
    request.outcome.renewal = { outcome, jti: renewed?.jti };
    if (outcome === 'renewed') observe(request, 'check', subjectOf(request.accessToken));
    if (renewed !== null) deliver(reply, delivery, renewed.accessToken);
    if (cause !== undefined)
      request.log.warn({ err: cause }, 'a token could not be renewed; its next request tries again');
  });
}
