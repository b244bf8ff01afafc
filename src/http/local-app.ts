/**
 * Administration for whoever owns the machine: the same routes as on the public port, without a token. The command line
 * calls it in its own process, or over the service's Unix socket, where the permissions of the file say who may.
 */
import type { FastifyBaseLogger, FastifyRequest } from 'fastify';
import type { By } from '../domain/types.js';
import { countNothing } from '../ports/metrics.js';
import { nowhere } from '../ports/places.js';
import { adminRoutes } from './admin/routes.js';
import { createApp, refuseUnknown } from './base-app.js';
import { acceptJson } from './bodies.js';
import { healthRoutes } from './health-routes.js';
import type { Services } from './services.js';
import type { App } from './typed.js';

/** The name under which somebody at the command line goes down in the audit trail. */
export const OPERATOR_HEADER = 'keyturn-operator';
const NAME = /^[A-Za-z0-9._@-]{1,64}$/;

/** He could change the database itself, so that the name is taken as he says it. */
async function operatorOf(request: FastifyRequest): Promise<By> {
  const name = request.headers[OPERATOR_HEADER];
  return {
    actor: `cli:${typeof name === 'string' && NAME.test(name) ? name : 'unknown'}`,
    userId: null,
    caller: { ip: null, place: null, userAgent: null, requestId: request.id },
  };
}

export type LocalServices = Pick<Services, 'issuer' | 'administration'> & Partial<Pick<Services, 'readiness'>>;

/** Nobody but commands has anything to do here. */
const MAX_CONNECTIONS = 50;

/** Counts nothing and needs no places: what is measured is the public port. */
const unmeasured = { places: nowhere, metrics: countNothing };

export async function buildLocalApp(services: LocalServices, logger: FastifyBaseLogger): Promise<App> {
  const { issuer, administration, readiness } = services;
  const app = createApp({ issuer, ...unmeasured }, { logger, trustProxy: [] });
  app.server.maxConnections = MAX_CONNECTIONS;
  refuseUnknown(app);
  app.register(async (scope: App) => {
    acceptJson(scope);
    adminRoutes(scope, administration, operatorOf);
    if (readiness !== undefined) healthRoutes(scope, { readiness });
  });
  await app.ready();
  return app;
}
