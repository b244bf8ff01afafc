/**
 * A session on one device, kept alive by the retry rule: one refresh in flight, its Idempotency-Key stored before it is
 * sent, the same token and key until an answer arrives, and the new token stored before the key is forgotten.
 */
import { AuthError } from './errors.js';
import { type Answer, errorOf, isTransient, NO_ANSWER, pauseBefore, pauseUntil, post } from './http.js';
import { isFresh, isLive, liveFrom, parseStored, type SessionEndReason, type Stored } from './record.js';
import type { AuthStorage } from './storage.js';

export interface AuthClientOptions {
  /** Where Keyturn is, such as `https://auth.example.com`. */
  baseUrl: string;
  /** The application, as Keyturn knows it. */
  clientId: string;
  storage: AuthStorage;
  /** In place of the global one. */
  fetch?: typeof globalThis.fetch;
  /** Milliseconds for which a refresh or a logout is tried before it rejects with `unavailable`; 30,000 by default. */
  patience?: number;
}

export interface Credentials {
  email: string;
  password: string;
  audience?: string;
  /** Space-separated. */
  scope?: string;
  /** What the person sees in the list of devices. */
  deviceName?: string;
}

export interface Login {
  sessionId: string;
  /** What was granted, space-separated. */
  scope: string;
}

export interface AuthClient {
  /** Rejects with AuthError: `invalid_credentials`, `account_disabled`, `too_many_attempts` … Replaces a session that is there. */
  login(credentials: Credentials): Promise<Login>;
  /**
   * Forgets the session at once, then tells the service. Rejects with `unavailable` when the service cannot be told in
   * time: here the session is over all the same, and the service is told when it can be, in a later run if need be.
   */
  logout(): Promise<void>;
  /**
   * `fetch` with the access token, for addresses of your own services only: whoever is asked can use the token. After a
   * 401 the token is renewed and the request is sent once more, unless its body is a stream. Without a session the
   * request goes out without a token.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** An access token that is good now, or null without a session. Rejects with AuthError when it cannot be renewed. */
  getAccessToken(): Promise<string | null>;
  /** Calls `listener` once when the session ends, in whichever tab; returns a function that takes it away. */
  onSessionEnd(listener: (reason: SessionEndReason) => void): () => void;
}

const DEFAULT_PATIENCE_MS = 30_000;
const KEY_BYTES = 16;
/** For others who share the storage, to store what they were given. */
const SUPERSEDED_PAUSE_S = 1;

/** The codes that mean that the session is over. Any other refusal leaves it alone. */
const ends: readonly unknown[] = [
  'invalid_refresh_token',
  'refresh_token_reused',
  'session_revoked',
  'session_expired',
  'account_disabled',
] satisfies SessionEndReason[];

/** Done, or to be tried again after an answer that is none. */
type Step<T> = { done: T } | { retry: Answer };

export function createAuthClient(options: AuthClientOptions): AuthClient {
  const { clientId, storage, patience = DEFAULT_PATIENCE_MS } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  // Looked up at each call, and called as what it is: browsers refuse a `fetch` that is not the window's.
  const fetch: typeof globalThis.fetch = options.fetch ?? ((...args) => globalThis.fetch(...args));
  const name = `keyturn.${baseUrl}.${clientId}`.replace(/[^A-Za-z0-9._-]+/g, '_');
  const listeners = new Set<(reason: SessionEndReason) => void>();
  if (!globalThis.crypto?.getRandomValues) {
    throw new AuthError('no_randomness', 'crypto.getRandomValues is missing: import a polyfill first');
  }

  /** What was last seen of the storage; undefined before the first look. */
  let seen: Stored | null | undefined;
  let renewal: Promise<string | null> | undefined;
  /** By token: a session may end while the service is still being told of the one before. */
  const telling = new Map<string, Promise<unknown>>();
  /** The token whose refresh was last answered with `refresh_superseded`. */
  let superseded: string | undefined;
  let lastTurn: Promise<unknown> = Promise.resolve();
  let quiet: { until: number; answer: Answer } = { until: 0, answer: NO_ANSWER };

  function note(stored: Stored | null): Stored | null {
    const ended = isLive(seen) && !isLive(stored);
    seen = stored;
    // A listener that throws is no reason to stop in the middle.
    if (ended) for (const listener of listeners) queueMicrotask(() => listener(stored?.ended ?? 'logout'));
    return stored;
  }

  /** One access to the storage after the other: what was read before a change is never taken for what came after it. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(work);
    lastTurn = turn.catch(() => {});
    return turn;
  }

  const read = async () => note(parseStored(await storage.get(name)));
  const load = () => inTurn(read);

  /**
   * Stores `next`, unless the session is no longer at the token `expected`: then there was a logout, a login or another
   * tab's answer meanwhile, nothing is stored, and the answer is false.
   */
  const replace = (expected: string | null, next: Stored | null): Promise<boolean> =>
    inTurn(async () => {
      if (expected !== null && (await read())?.refreshToken !== expected) return false;
      await (next === null ? storage.delete(name) : storage.set(name, JSON.stringify(next)));
      note(next);
      return true;
    });

  storage.watch?.(name, () => void load().catch(() => {}));

  const call = (path: string, body: object, key?: string) =>
    post(
      fetch,
      baseUrl + path,
      path === '/v1/logout' ? 204 : 200,
      body,
      key === undefined ? {} : { 'idempotency-key': key },
    );

  /** Takes steps until one is done; rejects when patience runs out. */
  async function persist<T>(step: () => Promise<Step<T>>): Promise<T> {
    const deadline = performance.now() + patience;
    for (let attempt = 0; ; attempt++) {
      await pauseUntil(quiet.until, deadline, quiet.answer);
      const result = await step();
      if ('done' in result) return result.done;
      const until = performance.now() + pauseBefore(attempt, result.retry);
      // What the service asks for holds for later calls too; a lost connection may be back for them.
      if (result.retry.retryAfter > 0) quiet = { until, answer: result.retry };
      await pauseUntil(until, deadline, result.retry);
    }
  }

  /** Tells the service of a session that has ended here, until it has heard. */
  function tell(refreshToken: string): Promise<unknown> {
    const under = telling.get(refreshToken);
    if (under !== undefined) return under;
    const told = persist<void>(async () => {
      const answer = await call('/v1/logout', { refresh_token: refreshToken });
      if (isTransient(answer)) return { retry: answer };
      if (answer.status !== 204) throw errorOf(answer);
      return { done: undefined };
    })
      .then(() => replace(refreshToken, null))
      .finally(() => telling.delete(refreshToken));
    telling.set(refreshToken, told);
    return told;
  }

  /**
   * Nobody who shares this storage has the successor of its token, and yet it was used: somebody has a copy. The service
   * takes this for a late duplicate and lets the session live, so it has to be told.
   */
  async function giveUp(refreshToken: string, ended: 'refresh_superseded'): Promise<boolean> {
    const gaveUp = await replace(refreshToken, { ended, refreshToken });
    if (gaveUp) tell(refreshToken).catch(() => {});
    return gaveUp;
  }

  /** Gives an access token that is fresh and is not `refused`; null when the session is over. */
  function renew(refused?: string): Promise<string | null> {
    renewal ??= (storage.lock ? storage.lock(name, () => renewAlone(refused)) : renewAlone(refused)).finally(() => {
      renewal = undefined;
    });
    return renewal;
  }

  function renewAlone(refused?: string): Promise<string | null> {
    let drawnFor: string | undefined;
    return persist(async function step(): Promise<Step<string | null>> {
      const session = await load();
      if (!isLive(session)) return { done: null };
      // Somebody else who shares the storage was first.
      if (session.accessToken !== refused && isFresh(session, Date.now())) return { done: session.accessToken };
      const { refreshToken, key } = session;
      if (key === undefined) {
        // A storage that has lost the key at once may lose it for ever: no reason to run in circles.
        if (drawnFor === refreshToken) return { retry: NO_ANSWER };
        drawnFor = refreshToken;
        await replace(refreshToken, { ...session, key: newKey() });
        return step();
      }
      const asked = Date.now();
      const answer = await call('/v1/refresh', { refresh_token: refreshToken }, key);
      const { code } = answer.body;
      if (answer.status === 200) {
        const renewed = liveFrom(answer, asked);
        return (await replace(refreshToken, renewed)) ? { done: renewed.accessToken } : step();
      }
      if (answer.status === 401 && ends.includes(code)) {
        return (await replace(refreshToken, { ended: code as SessionEndReason })) ? { done: null } : step();
      }
      if (code === 'refresh_superseded') {
        if (superseded === refreshToken) return (await giveUp(refreshToken, code)) ? { done: null } : step();
        superseded = refreshToken;
        return { retry: { ...answer, retryAfter: SUPERSEDED_PAUSE_S } };
      }
      if (code === 'idempotency_key_reused') await replace(refreshToken, { ...session, key: newKey() });
      else if (!isTransient(answer)) throw errorOf(answer);
      return { retry: answer };
    });
  }

  async function getAccessToken(): Promise<string | null> {
    const session = isLive(seen) ? seen : await load();
    if (!isLive(session)) {
      // A logout that could not be told before.
      if (session?.refreshToken !== undefined) tell(session.refreshToken).catch(() => {});
      return null;
    }
    const now = Date.now();
    if (isFresh(session, now)) return session.accessToken;
    const renewed = renew();
    const isGood = now >= session.madeAt && now < session.expiresAt;
    if (!isGood) return renewed;
    // It is good for a little longer, so nobody has to wait; whoever comes too late hears of what went wrong.
    renewed.catch(() => {});
    return session.accessToken;
  }

  return {
    async login({ email, password, audience, scope, deviceName }) {
      const asked = Date.now();
      const given = { audience, scope, device_name: deviceName };
      const answer = await call('/v1/login', { email, password, client_id: clientId, ...given });
      if (answer.status !== 200) throw errorOf(answer);
      const before = await load();
      await replace(null, liveFrom(answer, asked));
      // A logout that could not be told before is forgotten here from now on.
      if (!isLive(before) && before?.refreshToken !== undefined) tell(before.refreshToken).catch(() => {});
      return { sessionId: String(answer.body.session_id), scope: String(answer.body.scope) };
    },

    async logout() {
      let refreshToken: string | undefined;
      do {
        refreshToken = (await load())?.refreshToken;
        if (refreshToken === undefined) return;
      } while (!(await replace(refreshToken, { ended: 'logout', refreshToken })));
      await tell(refreshToken);
    },

    async fetch(input, init) {
      const token = await getAccessToken();
      const send = (bearer: string | null) => {
        const request = input instanceof Request ? input.clone() : input;
        const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : {}));
        if (bearer !== null) headers.set('authorization', `Bearer ${bearer}`);
        return fetch(request, { ...init, headers });
      };
      const response = await send(token);
      if (response.status !== 401 || token === null) return response;
      let renewed = await renew(token);
      // A renewal that was under way already may have been for another token.
      if (renewed === token) renewed = await renew(token);
      if (renewed === null || isStream(init?.body)) return response;
      // A connection that broke after the 401 is no reason to fail.
      await response.body?.cancel().catch(() => {});
      return send(renewed);
    },

    getAccessToken,

    onSessionEnd(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A body that can be read only once. */
const isStream = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body);

/** 128 random bits: nobody who has copied a token can guess the key of its refresh. */
const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES)), (byte) => byte.toString(16).padStart(2, '0')).join('');
