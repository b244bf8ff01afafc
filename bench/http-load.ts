/**
 * Requests over connections that are kept, each sent when the one before is answered. It writes and reads bytes: a client of
 * HTTP costs more than what is measured here.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Load {
  port: number | ((connection: number) => number);
  connections: number;
  seconds: number;
  /** How often each request is sent, at the same time, over a connection for each: once by default. */
  copies?: number;
  /** Whoever is sent away (503) waits for as long as the answer says, as good clients do, and is counted apart. */
  mayBeSentAway?: boolean;
  /** The whole request, as it is sent. */
  request(asker: number): string;
  /** Sees each answer; what it throws ends the run. */
  answered?(asker: number, head: string, body: string): void;
}

export interface LoadResult {
  /** Answers a second, without those that were sent away. */
  rate: number;
  /** Milliseconds, ascending, of the same. */
  latencies: number[];
  sentAway: number;
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
    // It was closed while nothing was asked, and will not be again.
    if (socket.destroyed) return onClose();
    socket.on('data', onData).once('close', onClose);
    socket.write(request);
  });
}

/** A connection that is kept for as long as the server keeps it: nginx does for a thousand requests. */
interface Line {
  ask(request: string): Promise<Answered>;
  close(): void;
}

function lineTo(port: number): Line {
  let socket = open(port);
  return {
    async ask(request) {
      const answer = await ask(socket, request);
      if (/\r\nconnection: *close/i.test(answer.head)) {
        socket.destroy();
        socket = open(port);
      }
      return answer;
    },
    close: () => socket.destroy(),
  };
}

/** One request over a connection of its own. */
export async function askOnce(port: number, request: string): Promise<Answered> {
  const socket = open(port);
  return ask(socket, request).finally(() => socket.destroy());
}

/** Milliseconds; null where an answer sends nobody away. */
function awayFor(head: string): number | null {
  if (!head.startsWith('HTTP/1.1 503')) return null;
  return 1000 * Number(/\r\nretry-after: *(\d+)/i.exec(head)?.[1] ?? 1);
}

export async function load(given: Load): Promise<LoadResult> {
  const { port, connections, seconds, copies = 1, mayBeSentAway = false, request, answered } = given;
  const latencies: number[] = [];
  let sentAway = 0;
  let hasFailed = false;
  const begun = performance.now();
  const until = begun + seconds * 1000;

  /** Resolves to the milliseconds to wait before the next one. */
  const askOver = async (line: Line, asker: number, text: string): Promise<number> => {
    const from = performance.now();
    const { head, body } = await line.ask(text);
    const away = mayBeSentAway ? awayFor(head) : null;
    if (away === null) {
      latencies.push(performance.now() - from);
      answered?.(asker, head, body);
      return 0;
    }
    sentAway++;
    return Math.min(away, until - performance.now());
  };

  const askOnAndOn = async (asker: number): Promise<void> => {
    // Copies of a request meet different processes, where there are several.
    const lines = Array.from({ length: copies }, (_, copy) =>
      lineTo(typeof port === 'number' ? port : port(asker + copy)),
    );
    try {
      while (performance.now() < until && !hasFailed) {
        const text = request(asker);
        const waits = await Promise.all(lines.map((line) => askOver(line, asker, text)));
        const longest = Math.max(...waits);
        if (longest > 0) await sleep(longest);
      }
    } catch (error) {
      hasFailed = true;
      throw error;
    } finally {
      for (const line of lines) line.close();
    }
  };

  const askers = Array.from({ length: Math.ceil(connections / copies) }, (_, asker) => askOnAndOn(asker));
  // Of one that fails the others stop as well, before it is told: they would load what is measured next.
  await Promise.allSettled(askers);
  await Promise.all(askers);
  const rate = (latencies.length * 1000) / (performance.now() - begun);
  return { rate, latencies: latencies.sort((a, b) => a - b), sentAway };
}
