/** Refusals that no route makes: bad requests of HTTP itself, methods that a path does not have, bodies where none belong. */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyRequest, HTTPMethods } from 'fastify';
import { Refusal } from '../domain/errors.js';
import { timesSent } from './bearer.js';
import { answerTo } from './errors.js';
import type { App } from './typed.js';

/** RFC 9112 §3.2: a request of HTTP/1.1 has one Host. */
export const hasGoodHost = (request: FastifyRequest): boolean =>
  timesSent(request, 'host') === 1 || (request.raw.httpVersion === '1.0' && request.headers.host === undefined);

/** The paths of all routes that are registered from here on. */
export function collectPaths(app: App): Set<string> {
  const paths = new Set<string>();
  app.addHook('onRoute', ({ url }) => {
    paths.add(url);
  });
  return paths;
}

export async function refuseBody({ body }: FastifyRequest): Promise<void> {
  if (body !== undefined) throw new Refusal('invalid_request', { detail: 'body: there is none here' });
}

/** RFC 9110 §15.5.6: a path that is there says which methods it has. */
export function refuseOtherMethods(app: App, paths: ReadonlySet<string>): void {
  for (const url of [...paths]) {
    const isKnown = (method: HTTPMethods) => app.hasRoute({ method, url });
    const methods = app.supportedMethods as HTTPMethods[];
    const allow = methods.filter(isKnown).sort().join(', ');
    app.route({
      method: methods.filter((method) => !isKnown(method)),
      url,
      schema: { hide: true },
      onRequest: async (_request, reply) => {
        reply.header('allow', allow);
        throw new Refusal('method_not_allowed');
      },
      handler: () => {},
    });
  }
}

const connectionCodes: Record<string, 'headers_too_large' | 'request_timeout'> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/** What is no HTTP never becomes a request: it is answered on the socket. */
export function refuseConnection(
  code: string | undefined,
  socket: Socket,
  errorsUrl: string,
  log: FastifyBaseLogger,
): void {
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const refusal = new Refusal(connectionCodes[code ?? ''] ?? 'invalid_request');
  const requestId = randomUUID();
  const { status, headers, body } = answerTo(refusal, '', requestId, errorsUrl);
  const text = JSON.stringify(body);
  const lines = Object.entries({
    ...headers,
    'content-length': String(Buffer.byteLength(text)),
    'x-request-id': requestId,
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}`);
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${text}`);
  // Neither method nor path is known, and the proxy's address is all there is.
  log.info({ request_id: requestId, status, code: refusal.code, ip: socket.remoteAddress }, 'refused connection');
  // Not left to the other side, which may never close its half.
  socket.destroySoon();
}
