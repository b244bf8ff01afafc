/** Which pages may read answers here: those of the origins that are configured, for all or for a client, exactly. */
import cors from '@fastify/cors';
import type { ClientDirectory } from '../domain/client-directory.js';
import { Refusal } from '../domain/errors.js';
import type { App } from './typed.js';

export interface CorsSettings {
  corsOrigins: readonly string[];
  /** Lower case. */
  accessTokenHeader: string;
}

/** Seconds for which a browser remembers what it may send; Chromium's own limit is two hours. */
const PREFLIGHT_MAX_AGE_S = 600;

/** Where gateways send the preflights of their backends: no other path that is not there answers one. */
const PREFLIGHT_PATH = '/v1/preflight';
const ANY_PATH = '*';

/**
 * No credentials: tokens travel in headers that a page has to set itself, and no cookie is looked at. A preflight does not
 * say which client it is for, so that each origin may call for any.
 */
export async function allowOrigins(app: App, directory: ClientDirectory, settings: CorsSettings): Promise<void> {
  const configured = new Set(settings.corsOrigins);
  const isAllowed = (origin: string | undefined) =>
    origin !== undefined && (configured.has(origin) || directory.hasOrigin(origin));
  // A gateway that has the path of its check a little wrong would take the 204 of a preflight for a yes.
  app.addHook('onRequest', ({ method, routeOptions, url }, _reply, done) => {
    const isElsewhere = method === 'OPTIONS' && routeOptions.url === ANY_PATH && url !== PREFLIGHT_PATH;
    done(isElsewhere ? new Refusal('not_found') : undefined);
  });
  // One set of options for all requests: to make one for each shows in the profile of a check.
  await app.register(cors, {
    origin: (origin, done) => done(null, isAllowed(origin)),
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: [
      settings.accessTokenHeader,
      'Keyturn-Refresh-Outcome',
      'Retry-After',
      'RateLimit',
      'RateLimit-Policy',
      'WWW-Authenticate',
      'X-Request-Id',
    ],
    maxAge: PREFLIGHT_MAX_AGE_S,
    strictPreflight: false,
  });
}
