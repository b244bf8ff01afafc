/**
 * The feed: how services that check tokens by themselves hear of revocations. They read pages, or follow: what there is
 * from where they stood, and from then on each rule as soon as this node has it, every one once and in order.
 */
import pLimit from 'p-limit';
import type { Clock } from '../ports/clock.js';
import type { Metrics } from '../ports/metrics.js';
import type { RevocationStore } from '../ports/revocation-store.js';
import { CLOCK_TOLERANCE_S } from './access-token.js';
import { fromBase64url, toBase64url } from './base64url.js';
import { Refusal } from './errors.js';
import type { Revocation } from './revocation.js';
import type { Revocations } from './revocations.js';
import type { Bearer } from './sessions.js';
import { type Instant, later, seconds } from './types.js';

/** What a token must be good for to read the feed. */
export const FEED_SCOPE = 'revocations:read';
export const MAX_PAGE = 1_000;
/** How often followers are told that nothing was missed. Seconds; verifiers give up after 10 without it. */
export const BEAT_S = 2;
/** A node that for so long could not tell whether it knows everything sends its followers to others. Milliseconds. */
const MAX_BLIND_MS = 5_000;
/** A follower that for so long did not read what it was sent is let go. Milliseconds. */
const MAX_STALL_MS = 10_000;
/** Pages read for followers at one time, however many are behind: what else needs the database comes through. */
const MAX_READS = 2;
/** Followers that are one client. */
const MAX_OF_CLIENT = 50;
/** When it makes sense for one more to try again. Seconds. */
const RETRY_AFTER_S = 5;
/** For a cursor of a node whose clock is ahead. Seconds. */
const CURSOR_TOLERANCE_S = 60;
/** The version goes before the id, should a cursor ever have to say more. */
const CURSOR = /^r1:(0|[1-9]\d{0,15})$/;
export const cursorOf = (id: number): string => toBase64url(Buffer.from(`r1:${id}`));

export interface FeedPage {
  revocations: Revocation[];
  /** Where the next page begins: an id. */
  cursor: number;
  /** Everything that was acknowledged until then is in this page, those before, or, if `hasMore`, those after. */
  asOf: Instant;
  hasMore: boolean;
}

/** Somebody at the other end of a connection. None of the methods throws. */
export interface Follower {
  /** Takes it, and says whether it can take more at once. */
  revoked(batch: readonly Revocation[]): boolean;
  /** Nothing that was acknowledged until then is missing. */
  current(cursor: number, asOf: Instant): void;
  /** Resolves when it can take more. */
  drained(): Promise<void>;
  /** `stalled`: it has not read what it was sent. */
  end(stalled: boolean): void;
}

export interface RevocationFeed {
  /** The id that a cursor stands for, 0 for none. Throws `invalid_cursor`. */
  positionOf(cursor: string | undefined): number;
  page(after: number, limit: number): Promise<FeedPage>;
  /** Sends what comes after the id; returns how to leave. Throws `overloaded` and `too_many_streams`. */
  follow(after: number, token: Bearer['token'], follower: Follower): () => void;
  /** To be called every BEAT_S. */
  beat(): void;
  /** How many follow. */
  size(): number;
}

export interface RevocationFeedParts {
  store: RevocationStore;
  revocations: Pick<Revocations, 'isCurrent' | 'head' | 'onGrown' | 'covers'>;
  metrics: Metrics;
  clock: Clock;
  /** Followers of this process. */
  limit: number;
}

interface Following {
  follower: Follower;
  token: Bearer['token'];
  client: string;
  /** It has been sent everything up to this id. */
  sent: number;
  /** Gets what is new at once; else it is being brought up to date from the store. */
  isUpToDate: boolean;
  /** Since when it has been waited for; on the monotonic clock. */
  stalledAt: number | null;
  isOver: boolean;
}

export function createRevocationFeed(parts: RevocationFeedParts): RevocationFeed {
  const { store, revocations, metrics, clock, limit } = parts;
  const all = new Set<Following>();
  const byClient = new Map<string, number>();
  const readsAtOnce = pLimit(MAX_READS);
  const reads = new Map<number, Promise<{ known: number; batch: Revocation[] }>>();
  let wasCurrentAt = clock.monotonic();

  function leave(one: Following): void {
    if (one.isOver) return;
    one.isOver = true;
    all.delete(one);
    metrics.followers(all.size);
    const left = (byClient.get(one.client) ?? 0) - 1;
    if (left > 0) byClient.set(one.client, left);
    else byClient.delete(one.client);
  }

  function end(one: Following, stalled = false): void {
    leave(one);
    one.follower.end(stalled);
  }

  /** Who were sent away before he can get a token that is good would not hear of anything until then. */
  const isRefused = ({ token }: Following): boolean =>
    revocations.covers(token, seconds(clock.now())) || clock.now() >= (token.exp + CLOCK_TOLERANCE_S) * 1000;

  /** False when it has to be waited for. */
  function send(one: Following, batch: readonly Revocation[]): boolean {
    const isReady = batch.length === 0 || one.follower.revoked(batch);
    one.sent = Math.max(one.sent, batch.at(-1)?.id ?? 0);
    return isReady;
  }

  const tellCurrent = (one: Following): void => {
    if (revocations.isCurrent()) one.follower.current(one.sent, clock.now());
  };

  async function drained(one: Following): Promise<void> {
    one.stalledAt = clock.monotonic();
    await one.follower.drained();
    one.stalledAt = null;
  }

  /** The page after the id, for all who stand there: what is too much for one at once mostly is for the others too. */
  function read(after: number): Promise<{ known: number; batch: Revocation[] }> {
    const shared = reads.get(after);
    if (shared !== undefined) return shared;
    const reading = readsAtOnce(async () => {
      // Before the page: whatever the copy holds by now is in the pages, or has expired.
      const known = revocations.head();
      return { known, batch: await store.after(after, clock.now(), MAX_PAGE) };
    }).finally(() => reads.delete(after));
    reads.set(after, reading);
    return reading;
  }

  /** From the store, a page at a time and no faster than it is read, until nothing is new. */
  async function bringUpToDate(one: Following): Promise<void> {
    while (!one.isOver) {
      const { known, batch } = await read(one.sent);
      if (one.isOver) return;
      if (!send(one, batch)) await drained(one);
      if (batch.length === MAX_PAGE) continue;
      one.sent = Math.max(one.sent, known);
      if (one.isOver || revocations.head() > one.sent) continue;
      one.isUpToDate = true;
      return tellCurrent(one);
    }
  }

  const catchUp = (one: Following): void => {
    one.isUpToDate = false;
    // Without the store it can follow elsewhere, or try again.
    bringUpToDate(one).catch(() => end(one));
  };

  revocations.onGrown((batch) => {
    for (const one of all) {
      const fresh = one.sent < (batch[0]?.id ?? 0) ? batch : batch.filter(({ id }) => id > one.sent);
      if (one.isUpToDate && !send(one, fresh)) catchUpLater(one);
      if (isRefused(one)) end(one);
    }
  });

  /** However much is revoked at once, no more is kept for a follower than it can take: the rest is in the store. */
  function catchUpLater(one: Following): void {
    one.isUpToDate = false;
    drained(one).then(
      () => catchUp(one),
      () => end(one),
    );
  }

  function beat(): void {
    const at = clock.monotonic();
    if (revocations.isCurrent()) wasCurrentAt = at;
    const isBlind = at - wasCurrentAt > MAX_BLIND_MS;
    for (const one of all) {
      const isStalled = one.stalledAt !== null && at - one.stalledAt > MAX_STALL_MS;
      if (isStalled || isBlind || isRefused(one)) end(one, isStalled);
      else if (one.isUpToDate) tellCurrent(one);
    }
  }

  return {
    positionOf(cursor) {
      if (cursor === undefined) return 0;
      const text = Buffer.from(fromBase64url(cursor) ?? []).toString('latin1');
      const id = Number(CURSOR.exec(text)?.[1] ?? Number.NaN);
      // Ids are microseconds since the epoch. A node that is behind by its clock may still have seen a later one.
      const latest = Math.max(later(clock.now(), CURSOR_TOLERANCE_S) * 1000, revocations.head());
      if (!Number.isSafeInteger(id) || id > latest) throw new Refusal('invalid_cursor');
      return id;
    },
    async page(after, limit) {
      const asOf = clock.now();
      // One more than asked for says whether there are more.
      const found = await store.after(after, asOf, limit + 1);
      const page = found.slice(0, limit);
      return { revocations: page, cursor: page.at(-1)?.id ?? after, asOf, hasMore: found.length > limit };
    },
    follow(after, token, follower) {
      const client = token.clientId ?? token.sub;
      const ofClient = byClient.get(client) ?? 0;
      if (all.size >= limit) throw new Refusal('overloaded', { retryAfter: RETRY_AFTER_S });
      if (ofClient >= MAX_OF_CLIENT) throw new Refusal('too_many_streams', { retryAfter: RETRY_AFTER_S });
      byClient.set(client, ofClient + 1);
      const one = { follower, token, client, sent: after, isUpToDate: false, stalledAt: null, isOver: false };
      all.add(one);
      metrics.followers(all.size);
      catchUp(one);
      return () => leave(one);
    },
    beat,
    size: () => all.size,
  };
}
