/**
 * Requests over connections that are kept, each sent when the one before is answered. It writes and reads bytes: a client of
 * HTTP costs more than what is measured here.
 */
import { connect, type Socket } from 'node:net';

export interface Load {
  port: number;
  connections: number;
  seconds: number;
  /** The whole request, as it is sent. */
  request(connection: number): string;
  /** Sees the head of each answer; what it throws ends the run. */
  answered?(connection: number, head: string): void;
}

export interface LoadResult {
  /** Answers a second. */
  rate: number;
  /** Milliseconds, ascending. */
  latencies: number[];
}

const open = (port: number): Socket => connect({ host: '127.0.0.1', port, noDelay: true }).on('error', () => {});

const HEAD_END = '\r\n\r\n';

/** Resolves to the head of the answer, when all of it is there. */
function ask(socket: Socket, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const end = text.indexOf(HEAD_END);
      if (end < 0) return;
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < end + HEAD_END.length + length) return;
      socket.off('data', onData).off('close', onClose);
      resolve(text.slice(0, end));
    };
    const onClose = (): void => reject(new Error(`the connection was closed: ${text.slice(0, 200)}`));
    socket.on('data', onData).once('close', onClose);
    socket.write(request);
  });
}

export async function load({ port, connections, seconds, request, answered }: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  const begun = performance.now();
  const until = begun + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async (_, i) => {
      let socket = open(port);
      try {
        for (let from = performance.now(); from < until; from = performance.now()) {
          const head = await ask(socket, request(i));
          latencies.push(performance.now() - from);
          answered?.(i, head);
          // nginx keeps a connection for a thousand requests.
          if (!/\r\nconnection: *close/i.test(head)) continue;
          socket.destroy();
          socket = open(port);
        }
      } finally {
        socket.destroy();
      }
    }),
  );
  return { rate: (latencies.length * 1000) / (performance.now() - begun), latencies: latencies.sort((a, b) => a - b) };
}
