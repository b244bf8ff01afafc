/** Servers that know nothing of Keyturn, and a client that sends what it is told to. */
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, request, type Server } from 'node:http';
import type { Scope } from './scope.js';

export interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  /** Names and values in turns, as they came. */
  rawHeaders: readonly string[];
  body: string;
}

export interface PlainAnswer {
  status?: number;
  headers?: OutgoingHttpHeaders;
  body?: string;
  /** Never, in fact. */
  isLost?: boolean;
}

export interface PlainServer {
  port: number;
  /** Every request so far. */
  seen: Seen[];
}

export async function listenOn(t: Scope, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Answers what `answer` says, and remembers what it was asked. */
export async function startPlainServer(t: Scope, answer: (seen: Seen) => PlainAnswer): Promise<PlainServer> {
  const all: Seen[] = [];
  const server = createServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    incoming.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = incoming;
      const seen = { method, url, headers, rawHeaders, body };
      all.push(seen);
      const { status = 200, headers: given = {}, body: text = '', isLost = false } = answer(seen);
      if (!isLost) response.writeHead(status, given).end(text);
    });
  });
  return { port: await listenOn(t, server), seen: all };
}

export interface PlainResponse {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Unlike `fetch`, this sends any header, a header twice, and a path as it is written. */
export function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: OutgoingHttpHeaders | readonly string[]; body?: string } = {},
): Promise<PlainResponse> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options;
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    outgoing.once('error', reject).end(body);
  });
}
