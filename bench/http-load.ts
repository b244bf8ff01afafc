/**
 * Requests over connections that are kept, each sent when the one before is answered. It writes and reads bytes: a client of
 * HTTP costs more than what is measured here.
 */
import { connect, type Socket } from 'node:net';

export interface Load {
  port: number | ((connection: number) => number);
  connections: number;
  seconds: number;
  /** The whole request, as it is sent. */
  request(connection: number): string;
  /** Sees each answer; what it throws ends the run. */
  answered?(connection: number, head: string, body: string): void;
}

export interface LoadResult {
  /** Answers a second. */
  rate: number;
  /** Milliseconds, ascending. */
  latencies: number[];
}

/** Whoever is silent for longer has failed. Milliseconds. */
const PATIENCE_MS = 30_000;

const open = (port: number): Socket =>
  connect({ host: '127.0.0.1', port, noDelay: true, timeout: PATIENCE_MS })
    .on('error', () => {})
    .on('timeout', function (this: Socket) {
      this.destroy();
    });

const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

/** The body that begins at `from`, or null as long as it is not all there. */
function bodyOf(text: string, from: number): string | null {
  const head = text.slice(0, from);
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) {
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    return text.length < from + length ? null : text.slice(from, from + length);
  }
  if (!text.endsWith(LAST_CHUNK)) return null;
  let body = '';
  for (let at = from; ; ) {
    const data = text.indexOf('\r\n', at) + 2;
    const length = Number.parseInt(text.slice(at, data), 16);
    if (length === 0) return body;
    body += text.slice(data, data + length);
    at = data + length + 2;
  }
}

export interface Answered {
  head: string;
  body: string;
}

/** Resolves when all of the answer is there. */
export function ask(socket: Socket, request: string): Promise<Answered> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const end = text.indexOf(HEAD_END);
      if (end < 0) return;
      const body = bodyOf(text, end + HEAD_END.length);
      if (body === null) return;
      socket.off('data', onData).off('close', onClose);
      resolve({ head: text.slice(0, end), body });
    };
    const onClose = (): void => reject(new Error(`the connection was closed: ${text.slice(0, 200)}`));
    socket.on('data', onData).once('close', onClose);
    socket.write(request);
  });
}

/** One request over a connection of its own. */
export async function askOnce(port: number, request: string): Promise<Answered> {
  const socket = open(port);
  return ask(socket, request).finally(() => socket.destroy());
}

export async function load({ port, connections, seconds, request, answered }: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  const begun = performance.now();
  const until = begun + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async (_, i) => {
      const to = typeof port === 'number' ? port : port(i);
      let socket = open(to);
      try {
        for (let from = performance.now(); from < until; from = performance.now()) {
          const { head, body } = await ask(socket, request(i));
          latencies.push(performance.now() - from);
          answered?.(i, head, body);
          // nginx keeps a connection for a thousand requests.
          if (!/\r\nconnection: *close/i.test(head)) continue;
          socket.destroy();
          socket = open(to);
        }
      } finally {
        socket.destroy();
      }
    }),
  );
  return { rate: (latencies.length * 1000) / (performance.now() - begun), latencies: latencies.sort((a, b) => a - b) };
}
