/** keyturn/verifier for Fastify: a hook for single routes, and a plugin for all routes of a scope. */
import type { NodeRequest } from './bearer.js';
import { keepClaims } from './claims-of.js';
import { VerifyError } from './errors.js';
import type { Requirements, Verifier } from './verifier.js';

export { claimsOf } from './claims-of.js';

/** What is used of a request. */
export interface FastifyRequestLike {
  readonly raw: NodeRequest;
}

/** What is used of a reply. */
export interface FastifyReplyLike {
  code(status: number): unknown;
  headers(headers: Record<string, string>): unknown;
  send(body: string): unknown;
}

/**
 * An `onRequest` hook that lets requests with a good token through, for `claimsOf`. It answers all others itself: 401,
 * 403 `insufficient_scope` or 503, with a problem document (RFC 9457) that has a `code`.
 */
export function requireToken(verifier: Verifier, requirements: Requirements = {}) {
  return async (request: FastifyRequestLike, reply: FastifyReplyLike): Promise<unknown> => {
    try {
      keepClaims(request, await verifier.verifyRequest(request.raw, requirements));
      return undefined;
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
      reply.code(error.status);
      reply.headers(error.headers);
      reply.send(error.body);
      return reply;
    }
  };
}

export interface KeyturnOptions extends Requirements {
  verifier: Verifier;
}

/** What is used of an instance. */
export interface FastifyLike {
  addHook(name: 'onRequest', hook: ReturnType<typeof requireToken>): unknown;
}

/**
 * A plugin: every route of the scope in which it is registered asks for a token, those that are added later too. Routes
 * that need more than the others have `requireToken` as well.
 */
export const keyturn = Object.assign(
  async (app: FastifyLike, { verifier, ...requirements }: KeyturnOptions): Promise<void> => {
    app.addHook('onRequest', requireToken(verifier, requirements));
  },
  // As fastify-plugin does it: the hook is for the scope around the plugin, not for one of its own.
  { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'keyturn' },
);
