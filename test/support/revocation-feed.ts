/** The feed of revocations as a service speaks it, on a real port, and as it should not. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Json } from './verifier.js';

const PAGE = 3;
const POLL_MS = 3;
const PATIENCE_MS = 20_000;

/** Waits for what comes over a real connection, looking often: some of it is a step of a clock that is moved. */
export async function soon(isSo: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const start = Date.now(); !(await isSo()); await sleep(POLL_MS)) {
    if (Date.now() - start > PATIENCE_MS) throw new Error(`this has not come to pass: ${what}`);
  }
}

/** One as the service publishes it, at `at` in seconds since the epoch, of tokens that live for 900 s. */
export function revocation(kind: string, value: string | null, at: number, changes: Json = {}): Json {
  const iso = (seconds: number) => new Date(seconds * 1000).toISOString();
  const isInstant = kind === 'sub' || kind === 'client' || kind === 'all';
  return {
    id: `${kind}:${value}:${at}`,
    kind,
    value,
    not_before: isInstant ? iso(at) : null,
    revoked_at: iso(at),
    expires_at: iso(at + 900),
    ...changes,
  };
}

export interface Asked {
  path: string;
  after: string | null;
  bearer: string | undefined;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface RevocationFeed {
  url: string;
  asked: Asked[];
  /** How often a page, or a stream, was asked for. */
  pages(): number;
  streams(): number;
  /** Streams that are open. */
  open(): number;
  /** In the pages from now on, and in the streams that are open. */
  publish(...revocations: Json[]): void;
  /** All of them have expired, and are not told of any more. */
  forget(): void;
  /** Streams that are open are told that they have everything; new ones are told at their start unless `mute`. */
  beat(): void;
  mute: boolean;
  /** As it is, to the streams that are open. */
  write(text: string | Uint8Array): void;
  /** Ends them well; `cut` does not. Resolve when none is open. */
  end(): Promise<void>;
  cut(): Promise<void>;
  /** In place of the usual answers; for those to come, or for the one path. */
  answer: { page?: Answer | undefined; stream?: Answer | undefined };
  /** Of addresses that are none of a feed. */
  elsewhere: Answer;
  /** Its clock: milliseconds since the epoch. */
  now(): number;
  /** Cursors that it knows. */
  knows(cursor: string): boolean;
  close(): Promise<void>;
}

export const refuse =
  (status: number, code: string, headers: Record<string, string> = {}): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
    response.end(JSON.stringify({ status, code }));
  };

export async function startFeed(t: Test): Promise<RevocationFeed> {
  const log: Json[] = [];
  const asked: Asked[] = [];
  const streams = new Set<ServerResponse>();
  const eventOf = (type: string, cursor: number, data: Json) =>
    `event: ${type}\nid: c${cursor}\ndata: ${JSON.stringify(data)}\n\n`;
  const asOf = () => new Date(feed.now()).toISOString();
  const current = () => eventOf('current', log.length, { cursor: `c${log.length}`, as_of: asOf() });
  const indexOf = (cursor: string | null) => (cursor === null ? 0 : Number(/^c(\d+)$/.exec(cursor)?.[1] ?? Number.NaN));

  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://feed');
    if (!pathname.startsWith('/v1/revocations')) return feed.elsewhere(request, response);
    const after = searchParams.get('after');
    asked.push({ path: pathname, after, bearer: request.headers.authorization?.replace('Bearer ', '') });
    const isStream = pathname === '/v1/revocations/stream';
    const other = isStream ? feed.answer.stream : feed.answer.page;
    if (other) return other(request, response);
    const from = indexOf(after);
    if (!(from <= log.length) || !feed.knows(after ?? '')) return refuse(400, 'invalid_cursor')(request, response);
    if (!isStream) {
      const revocations = log.slice(from, from + PAGE);
      const next = from + revocations.length;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          revocations,
          cursor: `c${next}`,
          as_of: asOf(),
          has_more: next < log.length,
        }),
      );
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': welcome\n\n');
    for (let i = from; i < log.length; i++) response.write(eventOf('revocation', i + 1, log[i] ?? {}));
    if (!feed.mute) response.write(current());
    streams.add(response);
    response.once('close', () => streams.delete(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const each = (work: (response: ServerResponse) => unknown) => void [...streams].map(work);
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  t.teardown(close);
  const feed: RevocationFeed = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    pages: () => asked.filter(({ path }) => path === '/v1/revocations').length,
    streams: () => asked.filter(({ path }) => path === '/v1/revocations/stream').length,
    open: () => streams.size,
    publish(...revocations) {
      for (const one of revocations) {
        log.push(one);
        each((response) => response.write(eventOf('revocation', log.length, one)));
      }
    },
    forget: () => void log.splice(0),
    beat: () => each((response) => response.write(current())),
    mute: false,
    write: (text) => each((response) => response.write(text)),
    async end() {
      each((response) => response.end());
      await soon(() => streams.size === 0, 'the streams have ended');
    },
    async cut() {
      each((response) => response.destroy());
      await soon(() => streams.size === 0, 'the streams are cut');
    },
    answer: {},
    elsewhere: refuse(404, 'not_found'),
    now: Date.now,
    knows: () => true,
    close,
  };
  return feed;
}
