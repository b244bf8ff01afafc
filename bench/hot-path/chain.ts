/** Loads that are measured. That of a refresh follows each session: every request has the token that the one before brought. */
import { randomUUID } from 'node:crypto';
import { type Load, type LoadResult, load } from '../http-load.js';

/** One run of a workload: it counts its own errors. */
export interface Run extends Omit<Load, 'connections' | 'seconds'> {
  errors(): number;
}

export interface Workload {
  begin(connections: number): Run;
}

export interface Loaded extends LoadResult {
  /** Where latencies are those of some of them. */
  operations?: number;
  errors: number;
}

export async function loadWith(workload: Workload, connections: number, seconds: number): Promise<Loaded> {
  const run = workload.begin(connections);
  const result = await load({ ...run, connections, seconds });
  return { ...result, errors: run.errors() };
}

/** Where an error makes all that was measured worthless. */
export async function loadWithoutErrors(...args: Parameters<typeof loadWith>): Promise<Loaded> {
  const loaded = await loadWith(...args);
  if (loaded.errors > 0) throw new Error(`${loaded.errors} of ${loaded.latencies.length} answers were errors`);
  return loaded;
}

const HOST = 'auth.example.com';
/** As long as those of browsers are: a service keeps it with the session. */
const USER_AGENT =
  'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36';

export function post(path: string, type: string, body: string, headers: Record<string, string> = {}): string {
  const all = {
    ...{ host: HOST, 'user-agent': USER_AGENT, 'content-type': type, 'content-length': String(body.length) },
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

export const postJson = (path: string, body: unknown, headers?: Record<string, string>): string =>
  post(path, 'application/json', JSON.stringify(body), headers);

export const get = (path: string, headers: Record<string, string> = {}): string =>
  `GET ${path} HTTP/1.1\r\n${Object.entries({ host: HOST, 'user-agent': USER_AGENT, ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;

export const statusOf = (head: string): number => Number(head.slice(9, 12));

/** How a service is asked for a refresh. */
export interface RefreshProtocol {
  name: string;
  port: number | ((connection: number) => number);
  /** `key` is for those who know the Idempotency-Key. */
  request(token: string, key: string | null): string;
}

export interface Tokens {
  access: string;
  refresh: string;
}

/** What an answer brings; null when it is a refusal. */
export function tokensOf(head: string, body: string): Tokens | null {
  if (statusOf(head) !== 200) return null;
  const { access_token: access, refresh_token: refresh } = JSON.parse(body);
  return typeof access === 'string' && typeof refresh === 'string' ? { access, refresh } : null;
}

/** The end of a token is of its signature, or of its secret: enough to tell it from all others. */
const endOf = (token: string): string => token.slice(-40);

export interface Sessions {
  count: number;
  /** The first token of each. */
  first(session: number): string;
}

/** What one request, and its copies, have brought so far. */
interface Asked {
  session: number;
  answers: number;
  rotated: number;
  tokens: Tokens | null;
}

/**
 * Refreshes all sessions in turn, but for those that still wait for an answer, as the first of many connections may do while
 * others are served a dozen times. There have to be more of them than connections. Where a request is sent several times at
 * once, with one key, one of them rotates and all bring the same refresh token.
 */
export function refreshes(protocol: RefreshProtocol, sessions: Sessions, copies = 1): Workload {
  const tokens = new Map<number, string>();
  const seen = new Set<string>();
  let turn = 0;

  const isNew = (token: string): boolean => {
    const end = endOf(token);
    if (seen.has(end)) return false;
    seen.add(end);
    return true;
  };

  const isRight = (asked: Asked, head: string, brought: Tokens | null): boolean => {
    if (brought === null) return false;
    const outcome = /\r\nkeyturn-refresh-outcome: *(\w+)/i.exec(head)?.[1] ?? 'rotated';
    if (outcome === 'rotated') asked.rotated++;
    if (asked.answers === copies && asked.rotated !== 1) return false;
    if (asked.tokens !== null) return brought.refresh === asked.tokens.refresh;
    asked.tokens = brought;
    tokens.set(asked.session, brought.refresh);
    // Every token of every answer is another one.
    return isNew(brought.access) && isNew(brought.refresh);
  };

  return {
    begin(connections) {
      if (connections / copies >= sessions.count)
        throw new Error(
          `${connections} connections, but ${sessions.count} sessions: some would be refreshed twice at once`,
        );
      const asking = new Map<number, Asked>();
      const busy = new Set<number>();
      let errors = 0;
      return {
        port: protocol.port,
        copies,
        request(asker) {
          while (busy.has(turn % sessions.count)) turn++;
          const session = turn++ % sessions.count;
          busy.add(session);
          asking.set(asker, { session, answers: 0, rotated: 0, tokens: null });
          return protocol.request(tokens.get(session) ?? sessions.first(session), randomUUID());
        },
        answered(asker, head, body) {
          const asked = asking.get(asker);
          if (asked === undefined) throw new Error('an answer to nothing');
          asked.answers++;
          if (asked.answers === copies) busy.delete(asked.session);
          if (!isRight(asked, head, tokensOf(head, body))) errors++;
        },
        errors: () => errors,
      };
    },
  };
}

/** The same request again and again, or one of several in turn, that has to be answered with 200. */
export function repeated(port: Load['port'], requests: readonly string[], mayBeSentAway = false): Workload {
  let turn = 0;
  return {
    begin() {
      let errors = 0;
      return {
        ...{ port, mayBeSentAway },
        request: () => requests[turn++ % requests.length] ?? '',
        answered(_connection, head) {
          if (statusOf(head) !== 200) errors++;
        },
        errors: () => errors,
      };
    },
  };
}
