/** A client that leaves the retry rule to keyturn/client, as most apps will. */
import { randomUUID } from 'node:crypto';
import { type AuthClient, AuthError, createAuthClient, memoryStorage } from '../../../src/client/index.js';
import { noteSecret, noteSecretsOf } from '../../support/run-log.js';
import type { Client, ClientParts } from './client.js';

/** The app is killed while it waits, and starts again on what was stored; what it had begun goes on behind its back. */
const DIES = 0.1;
const DIES_WITHIN_MS = 30;
/** Nothing in a fire lasts so long. */
const DESPAIRS_MS = 60_000;
const HISTORY = 20;

export function useTheLibrary({ url, login, chance, heard }: ClientParts): Client {
  const storage = memoryStorage();
  const received = new Set<string>();
  const history: string[] = [];
  // The only value that there is, under whatever name the library gives it.
  let value = JSON.stringify({
    refreshToken: login.refresh_token,
    key: randomUUID(),
    accessToken: '',
    madeAt: 0,
    renewAt: 0,
    expiresAt: 0,
  });
  const stored = () => JSON.parse(value);
  const held = (): string => stored().refreshToken;
  const kept = {
    ...storage,
    get: () => value,
    set: (_name: string, next: string) => {
      value = next;
      if (held() !== login.refresh_token) received.add(held());
    },
  };

  /** What no honest client is told, though the library may make the best of it. */
  let odd: string | undefined;
  const send: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set('connection', 'close');
    noteSecret(headers.get('idempotency-key'));
    const sent = Date.now();
    try {
      const response = await fetch(input, { ...init, headers });
      const text = await response.text();
      noteSecretsOf(text);
      const what = `${response.status} ${response.headers.get('keyturn-refresh-outcome') ?? JSON.parse(text).code}`;
      heard(what);
      note(what, sent);
      if (![200, 429, 503].includes(response.status)) odd ??= what;
      return new Response(text, response);
    } catch (error) {
      heard('no answer');
      note('no answer', sent);
      throw error;
    }
  };
  function note(what: string, sent: number) {
    history.push(`${new Date(sent).toISOString().slice(11, 23)} ${what} after ${Date.now() - sent} ms`);
    if (history.length > HISTORY) history.shift();
  }

  const start = (): AuthClient => createAuthClient({ baseUrl: url, clientId: 'default', storage: kept, fetch: send });

  return {
    sessionId: login.session_id,
    received,
    history,
    held,
    async refresh() {
      const from = Date.now();
      value = JSON.stringify({ ...stored(), renewAt: 0, expiresAt: 0 });
      if (chance.next() < DIES) {
        const forgotten = start().getAccessToken();
        await Promise.race([
          forgotten.catch(() => {}),
          new Promise((resolve) => setTimeout(resolve, chance.between(1, DIES_WITHIN_MS))),
        ]);
        forgotten.catch(() => {});
      }
      if ((await patiently(start(), from)) === null) throw new Error(`logged out: ${stored().ended}`);
      if (odd !== undefined) throw new Error(odd);
      return Date.now() - from;
    },
  };
}

/** Asks again where the library has lost its patience: as an app that shows that it is offline. */
async function patiently(auth: AuthClient, from: number): Promise<string | null> {
  for (;;) {
    try {
      return await auth.getAccessToken();
    } catch (error) {
      const isOffline = error instanceof AuthError && error.code === 'unavailable';
      if (!isOffline || Date.now() - from > DESPAIRS_MS) throw error;
    }
  }
}
