/**
 * A session on one device, kept alive by the retry rule: one refresh in flight, its Idempotency-Key stored before it is
 * sent, the same token and key until an answer arrives, and the new token stored before the key is forgotten.
 */
import { AuthError } from './errors.js';
import { errorOf, isTransient, post } from './http.js';
import { type Ended, isFresh, isLive, isUntold, type Live, liveFrom, newKey, type SessionEndReason } from './record.js';
import { createPersist, type Step } from './retry.js';
import type { AuthStorage } from './storage.js';
import { openVault } from './vault.js';

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
  /**
   * Goes on with a session that the service wants the password for: after a call has rejected with `password_required`.
   * Resolves as `getAccessToken` does. Rejects with `wrong_password`: the session is still there, and waits.
   */
  refresh(options: { password: string }): Promise<string | null>;
  /** Calls `listener` once when the session ends, in whichever tab; returns a function that takes it away. */
  onSessionEnd(listener: (reason: SessionEndReason) => void): () => void;
}

const DEFAULT_PATIENCE_MS = 30_000;
/** For others who share the storage, to store what they were given. */
const SUPERSEDED_PAUSE_S = 1;
/** Another token will do no better where one as young as this was refused: an API that refuses all must not cost a refresh each. */
const YOUNG_MS = 10_000;

/** The codes that mean that the session is over. Any other refusal leaves it alone. */
const ends: readonly unknown[] = [
  'invalid_refresh_token',
  'refresh_token_reused',
  'session_revoked',
  'session_expired',
  'account_disabled',
] satisfies SessionEndReason[];

export function createAuthClient(options: AuthClientOptions): AuthClient {
  const { clientId, storage, patience = DEFAULT_PATIENCE_MS } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  // Looked up at each call, and called as what it is: browsers refuse a `fetch` that is not the window's.
  const fetch: typeof globalThis.fetch = options.fetch ?? ((...args) => globalThis.fetch(...args));
  const name = `keyturn.${baseUrl}.${clientId}`.replace(/[^A-Za-z0-9._-]+/g, '_');
  if (!globalThis.crypto?.getRandomValues) {
    throw new AuthError('no_randomness', 'crypto.getRandomValues is missing: import a polyfill first');
  }
  const vault = openVault(storage, name);
  const persist = createPersist(patience);
  const deviceKey = `${name}.device`;
  let renewal: Promise<string | null> | undefined;
  /** By token: a session may end while the service is still being told of the one before. */
  const telling = new Map<string, Promise<unknown>>();
  /** The token whose refresh was last answered with `refresh_superseded`. */
  let superseded: string | undefined;

  /** Tells the service of a session that has ended here, until it has heard. */
  function tell(ended: Ended & { refreshToken: string }): Promise<unknown> {
    const { refreshToken } = ended;
    const under = telling.get(refreshToken);
    if (under !== undefined) return under;
    const told = persist<void>(async () => {
      const answer = await post(fetch, `${baseUrl}/v1/logout`, 204, { refresh_token: refreshToken });
      if (isTransient(answer)) return { retry: answer };
      if (answer.status !== 204) throw errorOf(answer);
      return { done: undefined };
    })
      .then(() => vault.replace(ended, null))
      .finally(() => telling.delete(refreshToken));
    telling.set(refreshToken, told);
    return told;
  }

  /** Nobody waits for it, and what cannot be told now is told later. */
  const tellInPassing = (ended: Ended & { refreshToken: string }) => void tell(ended).catch(() => {});

  /**
   * Nobody who shares this storage has the successor of its token, and yet it was used: somebody has a copy. The service
   * takes this for a late duplicate and lets the session live, so it has to be told.
   */
  async function giveUp(session: Live): Promise<boolean> {
    const ended = { ended: 'refresh_superseded', refreshToken: session.refreshToken } as const;
    const gaveUp = await vault.replace(session, ended);
    if (gaveUp) tellInPassing(ended);
    return gaveUp;
  }

  /** Gives an access token that is fresh and is not `refused`; null when the session is over. */
  function renew(refused?: string, password?: string): Promise<string | null> {
    const alone = () => renewAlone(refused, password);
    renewal ??= (storage.lock ? storage.lock(name, alone) : alone()).finally(() => {
      renewal = undefined;
    });
    return renewal;
  }

  const renewAlone = (refused?: string, password?: string): Promise<string | null> =>
    persist(async function step(): Promise<Step<string | null>> {
      const session = await vault.load();
      if (!isLive(session)) return { done: null };
      // Somebody else who shares the storage was first.
      if (session.accessToken !== refused && isFresh(session, Date.now())) return { done: session.accessToken };
      const { refreshToken, key } = session;
      const asked = Date.now();
      const headers = { 'idempotency-key': key };
      const answer = await post(
        fetch,
        `${baseUrl}/v1/refresh`,
        200,
        { refresh_token: refreshToken, password },
        headers,
      );
      const { code } = answer.body;
      if (answer.status === 200) {
        const renewed = liveFrom(answer, asked);
        return (await vault.replace(session, renewed)) ? { done: renewed.accessToken } : step();
      }
      if (answer.status === 401 && ends.includes(code)) {
        return (await vault.replace(session, { ended: code as SessionEndReason })) ? { done: null } : step();
      }
      if (code === 'refresh_superseded') {
        if (superseded === refreshToken) return (await giveUp(session)) ? { done: null } : step();
        superseded = refreshToken;
        return { retry: { ...answer, retryAfter: SUPERSEDED_PAUSE_S } };
      }
      if (code === 'idempotency_key_reused') await vault.replace(session, { ...session, key: newKey() });
      else if (!isTransient(answer)) throw errorOf(answer);
      return { retry: answer };
    });

  async function getAccessToken(): Promise<string | null> {
    const seen = vault.seen();
    const session = isLive(seen) ? seen : await vault.load();
    if (!isLive(session)) {
      if (isUntold(session)) tellInPassing(session);
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

  const isYoung = (token: string): boolean => {
    const session = vault.seen();
    return isLive(session) && session.accessToken === token && Date.now() - session.madeAt < YOUNG_MS;
  };

  return {
    async login({ email, password, audience, scope, deviceName }) {
      // It outlives the session. Without it this is a device like any other: no reason not to log in.
      const device = await kept(() => storage.get(deviceKey));
      const asked = Date.now();
      const about = { audience, scope, device_name: deviceName, device_token: device ?? undefined };
      const credentials = { email, password, client_id: clientId, ...about };
      const answer = await post(fetch, `${baseUrl}/v1/login`, 200, credentials);
      if (answer.status !== 200) throw errorOf(answer);
      const before = await vault.load();
      await vault.begin(liveFrom(answer, asked));
      const { device_token: known } = answer.body;
      if (typeof known === 'string' && known !== device) await kept(() => storage.set(deviceKey, known));
      // The session that was there before, or a logout that could not be told.
      if (before?.refreshToken !== undefined) tellInPassing({ ended: 'logout', refreshToken: before.refreshToken });
      return { sessionId: String(answer.body.session_id), scope: String(answer.body.scope) };
    },

    async logout() {
      for (;;) {
        const session = await vault.load();
        if (session?.refreshToken === undefined) return;
        const ended = { ended: 'logout', refreshToken: session.refreshToken } as const;
        if (await vault.replace(session, ended)) return void (await tell(ended));
      }
    },

    async fetch(input, init) {
      const signal = init?.signal ?? (input instanceof Request ? input.signal : null);
      const token = await unlessAborted(getAccessToken(), signal);
      const send = (bearer: string | null) => {
        const request = input instanceof Request ? input.clone() : input;
        const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : {}));
        if (bearer !== null) headers.set('authorization', `Bearer ${bearer}`);
        return fetch(request, { ...init, headers });
      };
      const response = await send(token);
      if (response.status !== 401 || token === null || isYoung(token)) return response;
      let renewed = await unlessAborted(renew(token), signal);
      // A renewal that was under way already may have been for another token.
      if (renewed === token) renewed = await unlessAborted(renew(token), signal);
      if (renewed === null || isStream(init?.body)) return response;
      // A connection that broke after the 401 is no reason to fail.
      await response.body?.cancel().catch(() => {});
      return send(renewed);
    },

    getAccessToken,

    async refresh({ password }) {
      // One that is under way has none.
      while (renewal !== undefined) await renewal.catch(() => {});
      return renew(undefined, password);
    },

    onSessionEnd: vault.onEnd,
  };
}

/** Of what is good to have, and no more: null where the storage fails. */
const kept = async <T>(work: () => T): Promise<Awaited<T> | null> => {
  try {
    return await work();
  } catch {
    return null;
  }
};

/** A body that can be read only once. */
const isStream = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body);

/** The work goes on; only its caller no longer waits. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
