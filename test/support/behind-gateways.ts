/** A service and the backend of the examples, for gateways to stand between: one client of header delivery, and one user. */
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { Test } from 'tap';
import { breakableProjection } from './breakable-projection.js';
import { type Received, type Sent, send, startBackend } from './gateways.js';
import { PASSWORD, startService } from './service.js';

/** Of the pages that may use the clients. */
export const ORIGIN = 'https://app.example.com';
export const JSON_BODY = ['Content-Type', 'application/json'];
export const bearer = (token: string): string[] => ['Authorization', `Bearer ${token}`];

/** The code of a refusal, and its challenge. */
export const refusalOf = ({ status, headers, body }: Received) => ({
  status,
  code: JSON.parse(body).code,
  challenge: headers['www-authenticate'],
});

/** `clientId` is `web`, whose tokens have no scope, or `archivist`. */
export async function login(url: string, clientId = 'web'): Promise<Received & { token: string }> {
  const body = JSON.stringify({ email: 'ada@example.com', password: PASSWORD, client_id: clientId });
  const response = await send(url, '/auth/v1/login', { method: 'POST', headers: JSON_BODY, body });
  return { ...response, token: String(response.headers.jwt) };
}

async function takeAway(server: Server, port: number): Promise<() => Promise<void>> {
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return () => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
}

export async function startBehindGateways(t: Test) {
  const redis = breakableProjection();
  const service = await startService(t, { env: { TRUST_PROXY: '127.0.0.1' }, projection: redis.projection });
  const { app, services, clock } = service;
  const userId = await service.register();
  const web = {
    name: 'Web',
    type: 'public',
    audiences: ['api'],
    tokenDelivery: 'header',
    corsOrigins: [ORIGIN],
  } as const;
  await services.clients.create({ ...web, clientId: 'web' });
  await services.clients.create({ ...web, clientId: 'archivist', scopes: ['orders:write'] });
  await services.directory.load();

  await app.listen({ host: '127.0.0.1', port: 0 });
  const keyturn = Number(new URL(app.listeningOrigin).port);
  const asked: { method: string; url: string; headers: IncomingHttpHeaders }[] = [];
  app.server.prependListener('request', ({ method = '', url = '', headers }) => {
    // Keyturn changes its own.
    asked.push({ method, url, headers: { ...headers } });
  });
  const backend = await startBackend(t);
  const { arrived } = backend;

  return {
    userId,
    redis,
    clock,
    ports: { keyturn, backend: backend.port },
    /** What the gateways have asked Keyturn. */
    asked,
    /** What they have let through. */
    arrived,
    /** Until what they resolve to is called, nobody listens there. */
    takeKeyturnAway: () => takeAway(app.server, keyturn),
    takeBackendAway: () => takeAway(backend.server, backend.port),

    /** Lets time go by for a service that keeps up with its keys and the revocations. */
    async pass(seconds: number): Promise<void> {
      clock.advance(seconds);
      await services.keys.load();
      await services.revocations.follow();
    },

    /** That none of the requests gets to the backend. */
    async getsNothingThrough(t: Test, url: string, requests: Record<string, Sent & { path?: string }>): Promise<void> {
      for (const [what, { path = '/whoami', ...sent }] of Object.entries(requests)) {
        const before = arrived.length;
        const { status } = await send(url, path, sent);
        t.ok(status >= 400, `${what}: ${status}`);
        t.same(arrived.slice(before), [], `${what}: nothing arrives`);
      }
    },
  };
}
