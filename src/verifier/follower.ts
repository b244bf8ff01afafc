/**
 * Follows the feed of revocations, and knows how old its view is. It catches up page by page and then listens; when the
 * stream ends, breaks off or falls silent it begins again from where it was, with a fresh token. Where streams do not
 * get through, catching up at each attempt still keeps the view nearly current.
 */
import { readEvents, type ServerSentEvent } from './event-stream.js';
import { readAsOf, readData, readPage, readRevocation } from './feed.js';
import { get, HttpFailure, readJson } from './http.js';
import { createRules, RulesFull } from './rules.js';
import { backOff, type World } from './time.js';
import type { AccessTokenClaims } from './token.js';

// Milliseconds.
/** After a stream that ended well, such as with its token: so that not all come back at once. */
const RECONNECT_SPREAD_MS = 250;
/** Short enough for several attempts before the view is too old. */
const [FIRST_BACK_OFF_MS, MOST_BACK_OFF_MS] = [250, 3_000];
/** For what somebody has to put right: a token without the scope, more revocations than fit. */
const LONG_BACK_OFF_MS = 30_000;
/** Of silence on a stream that says that it is alive every 2 s; sooner than the view is too old, if that is later. */
const SILENCE_MS = 5_000;
/** Thousand revocations have 300,000. */
const MAX_PAGE_BYTES = 4_194_304;

const WHAT = 'the revocation feed';

export interface Follower {
  /** Whether a live revocation that is known here concerns the token. */
  revokes(claims: AccessTokenClaims): boolean;
  /** Whether the view is young enough to be relied on. */
  isCurrent(): boolean;
  /** What went wrong last; undefined when all is well. */
  problem(): Error | undefined;
  /** Resolves when the view is current for the first time, or with false after so many milliseconds. */
  whenCurrent(withinMs: number): Promise<boolean>;
  /** Resolves when nothing is going on any more. */
  close(): Promise<void>;
}

export interface FollowerOptions {
  /** Without a slash at its end. */
  baseUrl: string;
  token: (refused?: string) => Promise<string>;
  /** Seconds. */
  maxStaleness: number;
  onProblem: (error: Error) => void;
}

/** `mostRules` is for tests. */
export function follow(options: FollowerOptions, world: World, mostRules?: number): Follower {
  const { baseUrl, token, maxStaleness, onProblem } = options;
  const maxAge = maxStaleness * 1000;
  const silence = Math.min(maxAge, Math.max(maxAge / 2, SILENCE_MS));
  const rules = createRules(mostRules);
  const waiting = new Set<() => void>();
  let cursor: string | null = null;
  /** By the monotonic clock. */
  let currentAt = Number.NEGATIVE_INFINITY;
  /** When the stream was asked for, by the monotonic clock, and the first `as_of` in it, by the one of the service. */
  let stream = { askedAt: 0, asOf: Number.NaN };
  let bearer: string | undefined;
  let refused: string | undefined;
  /** In a row. */
  let failures = 0;
  let problem: Error | undefined;
  let closed = false;
  /** Ends what is going on, be it a request or a pause. */
  let interrupt = () => {};

  const isCurrent = () => world.monotonic() - currentAt <= maxAge;

  function becomeCurrent(at: number): void {
    currentAt = Math.max(currentAt, at);
    rules.sweep(at);
    for (const wake of waiting) wake();
    waiting.clear();
  }

  /** One connection, from its token on; `alive` is called whenever something is heard. */
  async function connect(signal: AbortSignal, alive: () => void): Promise<void> {
    bearer = await bearerFrom(() => token(refused), signal);
    alive();
    while (!(await catchUp(bearer, signal))) alive();
    alive();
    const url = `${baseUrl}/v1/revocations/stream${after()}`;
    stream = { askedAt: world.monotonic(), asOf: Number.NaN };
    const response = await get(world, { url, what: WHAT, accept: 'text/event-stream', bearer, signal });
    if (!/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? ''))
      throw new HttpFailure(`${WHAT}: the answer is no event stream`, response.status);
    for await (const event of readEvents(response.body ?? noBytes())) if (hear(event)) alive();
  }

  const after = () => (cursor === null ? '' : `?after=${encodeURIComponent(cursor)}`);

  /** One page; true when it was the last. */
  async function catchUp(bearer: string, signal: AbortSignal): Promise<boolean> {
    const askedAt = world.monotonic();
    const url = `${baseUrl}/v1/revocations${after()}`;
    const response = await get(world, { url, what: WHAT, accept: 'application/json', bearer, signal });
    const page = readPage(await readJson(response, MAX_PAGE_BYTES, WHAT));
    if (page.hasMore && page.cursor === cursor) throw new HttpFailure(`${WHAT}: the cursor does not move`);
    for (const revocation of page.revocations) rules.add(revocation, askedAt);
    cursor = page.cursor;
    if (!page.hasMore) becomeCurrent(askedAt);
    return !page.hasMore;
  }

  /**
   * Until when nothing is missing, by the own monotonic clock: what is received late, from a proxy that kept it back or
   * after a pause of this process, is no news. Too early, if anything: the first one was written after the stream was asked for.
   */
  function momentOf(asOf: number): number {
    if (Number.isNaN(stream.asOf)) stream.asOf = asOf;
    const at = Math.min(world.monotonic(), stream.askedAt + asOf - stream.asOf);
    // A stream that is so late helps no more; another one begins with what there is now.
    if (world.monotonic() - at > maxAge) throw new HttpFailure(`${WHAT} is late`);
    return at;
  }

  /** Whether it was an event that shows that the feed is alive. */
  function hear({ type, id, data }: ServerSentEvent): boolean {
    if (type === 'revocation') rules.add(readRevocation(readData(data)), world.monotonic());
    else if (type === 'current') {
      becomeCurrent(momentOf(readAsOf(readData(data))));
      failures = 0;
      problem = undefined;
    } else return false;
    if (id !== '') cursor = id;
    return true;
  }

  /** Milliseconds until the next attempt. */
  function pauseAfter(error: unknown): number {
    failures++;
    problem = explain(error);
    try {
      onProblem(problem);
    } catch {
      // It is told of problems, and is not to make any.
    }
    const { status, code, retryAfter } = error instanceof HttpFailure ? error : new HttpFailure('');
    if (status === 401) refused = bearer;
    // It keeps what it knows: a rule that is heard of twice does no harm.
    if (code === 'invalid_cursor') cursor = null;
    const isLasting = status === 403 || error instanceof RulesFull;
    // Not from the cursor: what did not fit has been missed.
    if (error instanceof RulesFull) {
      cursor = null;
      currentAt = Number.NEGATIVE_INFINITY;
    }
    const most = isLasting ? LONG_BACK_OFF_MS : MOST_BACK_OFF_MS;
    const spread = world.random() * RECONNECT_SPREAD_MS;
    return Math.max(
      isLasting ? most / 2 : 0,
      backOff(failures, FIRST_BACK_OFF_MS, most, world.random()),
      retryAfter > 0 ? retryAfter * 1000 + spread : 0,
    );
  }

  async function run(): Promise<void> {
    while (!closed) {
      const abort = new AbortController();
      let callOff = () => {};
      const alive = () => {
        callOff();
        callOff = world.after(silence, () => abort.abort(new HttpFailure(`${WHAT} is silent`)));
      };
      interrupt = () => abort.abort();
      let pause: number;
      try {
        alive();
        await connect(abort.signal, alive);
        pause = world.random() * RECONNECT_SPREAD_MS;
      } catch (error) {
        if (closed) return;
        pause = pauseAfter(abort.signal.aborted ? abort.signal.reason : error);
      } finally {
        callOff();
        // Ends a body that was not read to its end.
        abort.abort();
      }
      await new Promise<void>((resolve) => {
        const callOff = world.after(pause, resolve);
        interrupt = () => {
          callOff();
          resolve();
        };
        if (closed) interrupt();
      });
    }
  }

  const running = run();
  return {
    revokes: rules.revokes,
    isCurrent,
    problem: () => problem,
    whenCurrent(withinMs) {
      return new Promise((resolve) => {
        if (isCurrent()) return resolve(true);
        const wake = () => {
          callOff();
          resolve(isCurrent());
        };
        const callOff = world.after(withinMs, () => {
          waiting.delete(wake);
          resolve(false);
        });
        waiting.add(wake);
      });
    },
    async close() {
      closed = true;
      interrupt();
      for (const wake of waiting) wake();
      waiting.clear();
      await running;
    },
  };
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

/** Of the characters that a bearer token has (RFC 6750 §2.1): others would be quoted in the error of `fetch`. */
async function bearerFrom(token: () => Promise<string>, signal: AbortSignal): Promise<string> {
  let bearer: unknown;
  try {
    bearer = await unlessAborted(token, signal);
  } catch (cause) {
    throw new HttpFailure(`${WHAT}: revocation.follow.token has failed`, 0, null, 0, cause);
  }
  if (typeof bearer === 'string' && /^[A-Za-z0-9\-._~+/]+=*$/.test(bearer)) return bearer;
  throw new HttpFailure(`${WHAT}: revocation.follow.token has given no token`);
}

/** Whoever gives the token may never answer. */
function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    Promise.resolve().then(work).then(resolve, reject);
  });
}

/** Says what is to be done, where it can be known. */
function explain(error: unknown): Error {
  if (!(error instanceof HttpFailure)) return new HttpFailure(`${WHAT} has broken off`, 0, null, 0, error);
  const { message, status, code } = error;
  const hints: Record<number, string> = {
    401: 'the token of revocation.follow.token is not accepted',
    403: 'the token of revocation.follow.token needs the scope revocations:read',
  };
  const hint = hints[status];
  return hint === undefined ? error : new HttpFailure(`${message}: ${hint}`, status, code, error.retryAfter);
}
