/** How important each route is when there is too much to do. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Importance, Shedding } from '../domain/shedding.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    importance?: Importance;
    /** A password is hashed. */
    hashes?: boolean;
  }
}

/** Who is logged in stays so, verifiers get their keys, and probes their answer. */
export const neverShed = [
  '/.well-known/jwks.json',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/livez',
  '/readyz',
  '/v1/refresh',
  '/oauth/token',
] as const;

/** These cost most, and can wait: what hashes passwords, and below what is read by people and by programs of theirs. */
export const hashing = [
  'POST /v1/login',
  'POST /v1/users',
  'POST /v1/me/password',
  'POST /v1/admin/users',
  'PUT /v1/admin/users/:id/password',
] as const;
const isForReading = (method: string, url: string): boolean =>
  /^\/(docs|openapi\.json)/.test(url) || (/^(GET|HEAD)$/.test(method) && url.startsWith('/v1/admin/'));

const isOneOf = (list: readonly string[], value: string): boolean => list.includes(value);

function importanceOf(method: string, url: string): Importance {
  if (isOneOf(neverShed, url)) return 'never';
  return isOneOf(hashing, `${method} ${url}`) || isForReading(method, url) ? 'first' : 'second';
}

/** For the routes that are registered from here on. */
export function shedLoad(app: FastifyInstance, shedding: Pick<Shedding, 'begin'>): void {
  app.addHook('onRoute', (route) => {
    const method = String(route.method);
    const hashes = isOneOf(hashing, `${method} ${route.url}`);
    route.config = { ...route.config, importance: importanceOf(method, route.url), hashes };
  });
  app.addHook('preHandler', (_request, reply, done) => {
    shedding.begin(reply.elapsedTime);
    done();
  });
}

export function admit({ routeOptions: { config } }: FastifyRequest, shedding: Pick<Shedding, 'admit'>): void {
  shedding.admit(config.importance ?? 'second', config.hashes === true);
}
