/** A client against a real service over HTTP, with a network that does as it is told. */
import { EventEmitter, once } from 'node:events';
import type { Test } from 'tap';
import { type AuthClient, type AuthClientOptions, createAuthClient, memoryStorage } from '../../src/client/index.js';
import { noteSecret, noteSecretsOf } from './run-log.js';
import { PASSWORD, startService, type TestService } from './service.js';

export interface Sent {
  path: string;
  key: string | null;
  body: Record<string, unknown>;
}

type Send = () => Promise<Response>;
/** What becomes of one request: by default it is sent and answered. */
export type Fault = (send: Send, sent: Sent) => Promise<Response>;

/** The request never arrives. */
export const lost: Fault = () => Promise.reject(new TypeError('fetch failed'));
/** The request is carried out, and its answer is lost. */
export const unanswered: Fault = async (send) => {
  await send();
  throw new TypeError('fetch failed');
};
export const answered =
  (status: number, body: object | string, headers: Record<string, string> = {}): Fault =>
  async () =>
    new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers });
/** Holds the request back until `release` is called. */
export function held(): { fault: Fault; arrived: Promise<unknown>; release: () => void } {
  const gate = new EventEmitter();
  const [arrived, released] = [once(gate, 'arrived'), once(gate, 'released')];
  const fault: Fault = async (send) => {
    gate.emit('arrived');
    await released;
    return send();
  };
  return { fault, arrived, release: () => gate.emit('released') };
}

export interface Network {
  fetch: typeof globalThis.fetch;
  /** Requests to the service itself, as they were sent. */
  sent: Sent[];
  /** For the next requests to a path of the service, one each. */
  faults: Fault[];
}

export function network(): Network {
  const sent: Sent[] = [];
  const faults: Fault[] = [];
  return {
    sent,
    faults,
    fetch: async (input, init) => {
      const path = new URL(input instanceof Request ? input.url : input).pathname;
      const text = typeof init?.body === 'string' ? init.body : '{}';
      const headers = new Headers(init?.headers);
      const one = { path, key: headers.get('idempotency-key'), body: JSON.parse(text) };
      noteSecret(one.key);
      noteSecretsOf(text);
      const send = async () => {
        const response = await globalThis.fetch(input, init);
        noteSecretsOf(await response.clone().text());
        return response;
      };
      if (!['/v1/refresh', '/v1/logout', '/v1/login'].includes(path)) return send();
      sent.push(one);
      return (faults.shift() ?? ((send) => send()))(send, one);
    },
  };
}

/** What is stored of a session, as its client wrote it. */
export interface StoredSession {
  refreshToken: string;
  accessToken: string;
  key: string;
  madeAt: number;
  renewAt: number;
  expiresAt: number;
  ended?: string;
}

export interface TestClient {
  auth: AuthClient;
  options: AuthClientOptions;
  net: Network;
  /** Null when nothing is stored. */
  stored(): Promise<StoredSession | null>;
  /** Changes what is stored, and starts the client anew on it, as an app does that was killed. */
  restart(change?: { [Name in keyof StoredSession]?: StoredSession[Name] | undefined }): Promise<void>;
}

/** Old enough to be renewed when it is refused. */
export const AGED = { madeAt: 0 };
export const EXPIRED = { renewAt: 0, expiresAt: 0 };

export interface ClientWorld {
  service: TestService;
  baseUrl: string;
  /** Moves the clock of the service. */
  advance(seconds: number): Promise<void>;
  client(options?: Partial<AuthClientOptions>): TestClient;
  /** With a session of its own. */
  loggedIn(options?: Partial<AuthClientOptions>): Promise<TestClient>;
}

export async function clientWorld(t: Test): Promise<ClientWorld> {
  const service = await startService(t);
  const baseUrl = await service.app.listen({ host: '127.0.0.1', port: 0 });
  await service.register();
  const name = `keyturn.${baseUrl}.default`.replace(/[^A-Za-z0-9._-]+/g, '_');

  function client(given: Partial<AuthClientOptions> = {}): TestClient {
    const net = network();
    const options = { baseUrl, clientId: 'default', storage: memoryStorage(), fetch: net.fetch, ...given };
    const made: TestClient = {
      auth: createAuthClient(options),
      options,
      net,
      stored: async () => JSON.parse((await options.storage.get(name)) ?? 'null'),
      async restart(change = {}) {
        await options.storage.set(name, JSON.stringify({ ...(await made.stored()), ...change }));
        made.auth = createAuthClient(options);
      },
    };
    return made;
  }

  return {
    service,
    baseUrl,
    client,
    async advance(seconds) {
      service.clock.advance(seconds);
      // What the poll does in a running service: the view of the keys stays fresh.
      await service.services.keys.load();
    },
    async loggedIn(options) {
      const made = client(options);
      await made.auth.login(CREDENTIALS);
      made.net.sent.splice(0);
      return made;
    },
  };
}

export const CREDENTIALS = { email: 'ada@example.com', password: PASSWORD };

/** Of an access token. */
export const claimsOf = (token: string | null): { sid: string } =>
  JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString());
