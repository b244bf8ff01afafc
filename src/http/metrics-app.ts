/** /metrics, on a port of its own: what is counted is nobody's business but that of whoever runs the service. */
import Fastify, { type FastifyBaseLogger } from 'fastify';
import { registerDraining } from './draining.js';
import type { App } from './typed.js';

export interface Exposition {
  contentType: string;
  text(): Promise<string>;
}

// Milliseconds. For a request to arrive; for an idle connection, longer than the minute that lies between two scrapes.
const REQUEST_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
/** Nobody but a few scrapers has anything to do here. */
const MAX_CONNECTIONS = 50;

/** Answers GET and HEAD of /metrics, and 404 to everything else. */
export async function buildMetricsApp(
  { contentType, text }: Exposition,
  log: Pick<FastifyBaseLogger, 'error'>,
): Promise<App> {
  const app = Fastify({
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: 2 * REQUEST_TIMEOUT_MS,
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: REQUEST_TIMEOUT_MS },
    return503OnClosing: false,
  }) as unknown as App;
  app.server.maxConnections = MAX_CONNECTIONS;
  registerDraining(app);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    // Before a body is looked at.
    if (request.is404) return reply.code(404).send();
  });
  app.setErrorHandler((error, _request, reply) => {
    log.error({ err: error }, 'could not collect the metrics');
    return reply.code(500).send();
  });
  app.get('/metrics', async (_request, reply) => reply.type(contentType).send(await text()));
  await app.ready();
  return app;
}
