/** Which pages may read answers here: those of the origins that are configured, for all or for a client, exactly. */
import cors from '@fastify/cors';
import type { ClientDirectory } from '../domain/client-directory.js';
import type { App } from './typed.js';

export interface CorsSettings {
  corsOrigins: readonly string[];
  /** Lower case. */
  accessTokenHeader: string;
}

/** Seconds for which a browser remembers what it may send; Chromium's own limit is two hours. */
const PREFLIGHT_MAX_AGE_S = 600;

/**
 * No credentials: tokens travel in headers that a page has to set itself, and no cookie is looked at. A preflight does not
 * say which client it is for, so that each origin may call for any.
 */
export async function allowOrigins(app: App, directory: ClientDirectory, settings: CorsSettings): Promise<void> {
  const configured = new Set(settings.corsOrigins);
  await app.register(cors, {
    origin: (origin, done) =>
      done(null, origin !== undefined && (configured.has(origin) || directory.hasOrigin(origin))),
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: [
      settings.accessTokenHeader,
      'Keyturn-Refresh-Outcome',
      'Retry-After',
      'RateLimit-Limit',
      'RateLimit-Remaining',
      'RateLimit-Reset',
      'WWW-Authenticate',
      'X-Request-Id',
    ],
    maxAge: PREFLIGHT_MAX_AGE_S,
    strictPreflight: false,
  });
}
