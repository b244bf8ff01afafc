/** An honest client: it keeps to the retry rule, and apart from that has all the bad habits of an app on a phone. */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { generationOf } from '../../support/process.js';
import { noteSecret } from '../../support/run-log.js';
import type { Chance } from '../../support/seeded.js';

/** Who holds a session in the fire. `keepToTheRule` makes one; a client library can be put in its place. */
export interface Client {
  readonly sessionId: string;
  /**
   * Gets the next token, through whatever comes, and tells how many milliseconds that took, without those for which the
   * phone was off. Rejects when it was told something that no honest client is told.
   */
  refresh(): Promise<number>;
  /** The refresh token that it would send next. */
  held(): string;
  /** Every refresh token that it was given after the login's. */
  readonly received: ReadonlySet<string>;
  /** What it did lately, for whoever looks for a cause. */
  readonly history: readonly string[];
}

export interface ClientParts {
  url: string;
  login: { session_id: string; refresh_token: string };
  chance: Chance;
  /** For how long a phone that is switched off stays off, milliseconds. */
  offMs: number;
  /** Called for every request with what came of it; with `late` before it when the phone was off before. */
  heard(what: string): void;
}

/** Every so many refreshes, on average: the app wakes up, and several parts of it refresh at once. */
const RESUMES = 0.1;
/** How many requests too many there are then, each with the same key or, as likely, with none. */
const MOST_AT_ONCE = 3;
/** The app is killed while it waits, and starts again with what it had stored. */
const DIES = 0.05;
/** The phone is switched off before it has stored an answer. */
const IS_SWITCHED_OFF = 0.005;
// Milliseconds.
const DIES_WITHIN_MS = 30;
const GIVES_UP_MS = 5_000;
/** Then it is as good as logged out: nothing in a fire lasts so long. */
const DESPAIRS_MS = 60_000;
const FIRST_BACKOFF_MS = 50;
/** Also the longest for which a Retry-After is obeyed: a fire is short. */
const MAX_BACKOFF_MS = 1_000;
const HISTORY = 20;

interface Answer {
  status: number;
  what: string;
  token: string | null;
  retryAfterMs: number;
}

export function keepToTheRule({ url, login, chance, offMs, heard }: ClientParts): Client {
  // What an app keeps on its disk, written as a whole: it survives the app.
  let stored: { token: string; key: string | null } = { token: login.refresh_token, key: null };
  const received = new Set<string>();
  const history: string[] = [];
  let wasOff = false;

  async function send(token: string, key: string | null, givesUpAfter: number): Promise<Answer> {
    const start = Date.now();
    const answer = await ask(url, token, key, givesUpAfter);
    heard(wasOff ? `late ${answer.what}` : answer.what);
    const at = new Date(start).toISOString().slice(11, 23);
    const sent = `generation ${generationOf(token)}, key ${key === null ? 'none' : fingerprint(key)}`;
    history.push(`${at} ${sent}: ${answer.what} after ${Date.now() - start} ms`);
    if (history.length > HISTORY) history.shift();
    return answer;
  }

  /** One request; or several at once, of which the one answer that there is counts. */
  async function attempt(token: string, key: string, isFirst: boolean): Promise<Answer> {
    const dies = chance.next() < DIES;
    const requests = [send(token, key, dies ? chance.between(1, DIES_WITHIN_MS) : GIVES_UP_MS)];
    if (isFirst && chance.next() < RESUMES) {
      const more = Math.ceil(chance.between(0, MOST_AT_ONCE));
      for (let i = 0; i < more; i++) requests.push(send(token, chance.pick([key, null]), GIVES_UP_MS));
    }
    const answers = await Promise.all(requests);
    const odd = answers.find(({ status }) => ![0, 200, 429, 503].includes(status));
    if (odd !== undefined) throw new Error(odd.what);
    const tokens = new Set(answers.flatMap((answer) => answer.token ?? []));
    if (tokens.size > 1) throw new Error('two successors of one token');
    return answers.find((answer) => answer.token !== null) ?? (answers[0] as Answer);
  }

  return {
    sessionId: login.session_id,
    received,
    history,
    held: () => stored.token,
    async refresh() {
      const key = stored.key ?? randomUUID();
      stored = { ...stored, key };
      let start = Date.now();
      if (chance.next() < IS_SWITCHED_OFF) {
        await send(stored.token, key, GIVES_UP_MS);
        await sleep(offMs);
        history.push(`was off for ${offMs} ms`);
        wasOff = true;
        start = Date.now();
      }
      for (let backoff = FIRST_BACKOFF_MS, isFirst = !wasOff; ; backoff = Math.min(2 * backoff, MAX_BACKOFF_MS)) {
        const { token, retryAfterMs } = await attempt(stored.token, key, isFirst);
        if (token !== null) {
          noteSecret(token, key);
          received.add(token);
          stored = { token, key: null };
          wasOff = false;
          return Date.now() - start;
        }
        if (Date.now() - start > DESPAIRS_MS) throw new Error('no token for too long');
        isFirst = false;
        await sleep(Math.max(chance.between(0, backoff), Math.min(retryAfterMs, MAX_BACKOFF_MS)));
      }
    },
  };
}

async function ask(url: string, token: string, key: string | null, givesUpAfter: number): Promise<Answer> {
  try {
    const response = await fetch(`${url}/v1/refresh`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        // Each request has to find its way through the network anew.
        connection: 'close',
        ...(key === null ? {} : { 'idempotency-key': key }),
      },
      body: JSON.stringify({ refresh_token: token }),
      signal: AbortSignal.timeout(Math.ceil(givesUpAfter)),
    });
    const body = (await response.json()) as { refresh_token?: string; code?: string };
    const { status, headers } = response;
    return {
      status,
      what: `${status} ${headers.get('keyturn-refresh-outcome') ?? body.code}`,
      token: status === 200 ? String(body.refresh_token) : null,
      retryAfterMs: 1000 * Number(headers.get('retry-after') ?? 0),
    };
  } catch {
    return { status: 0, what: 'no answer', token: null, retryAfterMs: 0 };
  }
}

/** Enough to tell two secrets apart, and no more. */
const fingerprint = (secret: string): string => createHash('sha256').update(secret).digest('hex').slice(0, 8);
