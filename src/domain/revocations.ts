/**
 * Revocation on this node: a copy of the live rules to check tokens against, trusted only while it is provably complete,
 * and the way of a new rule to every node before anybody is told that it holds.
 */
import type { Clock } from '../ports/clock.js';
import type { Metrics } from '../ports/metrics.js';
import { LEASE_MS, LEASE_OVER_MS, type RevocationProjection } from '../ports/revocation-projection.js';
import type { RevocationStore } from '../ports/revocation-store.js';
import { coalesced } from './coalesced.js';
import { Refusal } from './errors.js';
import { type Revocable, type Revocation, RevocationSet } from './revocation.js';
import type { Instant, Subject } from './types.js';

/** Rules read at once; a page is also what one message to the other nodes holds at most. */
const PAGE = 500;
/** Whoever revokes waits no longer than this before he is told `revocation_pending`. Milliseconds; leases end within it. */
const ENFORCE_TIMEOUT_MS = 4_000;
/** How often the other nodes are looked at while they are waited for: from the first to the second. Milliseconds. */
const LOOK_MS = [1, 40] as const;
const RETRY_AFTER_S = 1;
/** A clock that is set back by no more has made nobody forget a rule too early: they outlast their tokens by a minute. Milliseconds. */
const HARMLESS_STEP_MS = 30_000;
const NEVER = Number.NEGATIVE_INFINITY;
/** A token that was never issued, to see whether there is an answer. */
const NOBODYS: Revocable = { jti: '', sid: null, sub: '', clientId: null, iat: 0 };

export interface RevocationsParts {
  store: RevocationStore;
  projection: RevocationProjection;
  metrics: Metrics;
  clock: Clock;
  /** Lets tokens through, counted, where it is not known whether they are revoked. */
  failOpen: boolean;
  within: <T>(ms: number, work: Promise<T>) => Promise<T>;
}

export interface Revocations {
  /**
   * Throws `token_revoked`, or `revocation_unknown` where that cannot be told; there, if it is configured so, resolves to
   * 'unknown'.
   */
  check(token: Revocable, subject: Subject): Promise<'good' | 'unknown'>;
  /**
   * Resolves when whatever has been committed is enforced on every node; else throws `revocation_pending`, and the relay
   * goes on. To be called after each change that may have revoked something, also where it found nothing left to do:
   * it may be the repetition of one that was cut short.
   */
  enforce(): Promise<void>;
  /** `enforce`, and then waits until tokens that are issued from now on are not concerned. */
  enforceUntil(notBefore: Instant): Promise<void>;
  /** Brings the copy up to date and asks for a lease; rebuilds a projection that is not whole. */
  follow(): Promise<void>;
  /** Publishes what was committed and, for whatever reason, not published. */
  relay(): Promise<void>;
  /** Whether a rule in the copy concerns the token (`at`: as in RevocationSet); of what the copy lacks it says nothing. */
  covers(token: Revocable, at?: number): boolean;
  /** Whether the copy is known to be complete. */
  isCurrent(): boolean;
  /** Whether a check would get an answer, from the copy or from the projection. */
  canTell(): Promise<boolean>;
  /** The highest id in the copy. */
  head(): number;
  /** Calls back with what is new in the copy: every rule in turn, by id. */
  onGrown(listener: (batch: readonly Revocation[]) => void): void;
  /** Rules in the copy. */
  size(): number;
}

export function createRevocations(parts: RevocationsParts): Revocations {
  const { store, projection, metrics, clock, failOpen, within } = parts;
  const copy = new RevocationSet();
  const listeners: ((batch: readonly Revocation[]) => void)[] = [];
  /** The copy holds every rule up to this id, once it has been read. */
  let head = 0;
  let isRead = false;
  /** The projection held every rule up to this id when it was last heard of. */
  let published: number | null = null;
  /** `until` on the monotonic clock, `since` on the one that can be set. */
  let lease = { until: NEVER, since: NEVER };
  /** The latest that the clock has said: up to then rules may have been forgotten, or not been read. */
  let latest = NEVER;

  function now(): Instant {
    const at = clock.now();
    latest = Math.max(latest, at);
    return at;
  }

  /** The monotonic clock may stand still while the machine sleeps; the other one may be set. */
  function isCurrent(): boolean {
    const at = clock.now();
    return clock.monotonic() < lease.until && at - lease.since < LEASE_MS && latest - at <= HARMLESS_STEP_MS;
  }

  function take(from: number, batch: readonly Revocation[]): void {
    for (const revocation of batch) copy.add(revocation);
    const last = batch.at(-1)?.id ?? from;
    if (from > head || last <= head) return;
    const fresh = batch.filter(({ id }) => id > head);
    head = last;
    for (const grown of listeners) grown(fresh);
  }

  /** Everything after the id, a page at a time. */
  async function* after(id: number): AsyncGenerator<Revocation[]> {
    for (let from = id; ; ) {
      const page = await store.after(from, now(), PAGE);
      yield page;
      if (page.length < PAGE) return;
      from = page.at(-1)?.id ?? from;
    }
  }

  async function catchUp(): Promise<void> {
    for await (const page of after(head)) take(head, page);
  }

  async function readAll(): Promise<void> {
    // Before the rules: what is committed in between is among them, or comes later.
    const last = await store.last();
    for await (const page of after(0)) take(0, page);
    head = Math.max(head, last);
    isRead = true;
  }

  const follow = coalesced(async () => {
    const at = clock.now();
    if (latest - at > HARMLESS_STEP_MS) {
      // A clock that was ahead has made it forget what is still needed.
      latest = at;
      isRead = false;
      lease = { until: NEVER, since: NEVER };
    }
    copy.forget(now());
    if (!isRead) await readAll();
    for (;;) {
      // The lease counts from before the question: however late the answer is, it is not longer than others think.
      const asked = { until: clock.monotonic() + LEASE_MS, since: now() };
      const had = head;
      const theirs = await projection.renew(had);
      if (theirs === null) {
        // Whoever rebuilds it, this node or another: the next round finds out.
        if (!(await rebuild())) return;
      } else {
        published = theirs;
        // What it has heard of meanwhile does not count: the lease was not granted for that, and others do not know of it.
        if (theirs <= had) {
          lease = asked;
          return;
        }
        await catchUp();
        // What it is ahead by has expired, and is not in the store's answer any more.
        if (head < theirs) head = theirs;
      }
    }
  });

  const rebuild = (): Promise<boolean> =>
    projection.rebuild(store.last, async function* () {
      for await (const page of after(0)) {
        for (const revocation of page) copy.add(revocation);
        yield page;
      }
    });

  const publish = coalesced(async () => {
    for (;;) {
      const from = published;
      // Who has not heard of the projection yet asks it how far it is, and has nothing to add.
      const page = from === null ? [] : await store.after(from, now(), PAGE);
      const theirs = await projection.publish(from ?? 0, page);
      if (theirs === null) {
        if (await rebuild()) continue;
        throw new Error('the projection is being rebuilt');
      }
      if (from !== null) take(from, page);
      // Below what was believed: it has been rebuilt since, from what there was then.
      published = theirs;
      if (from !== null && theirs >= from && page.length < PAGE) break;
    }
    if (head < published) {
      // Others have published what this node has not heard of yet, and nobody waits for this node but itself.
      lease = { until: NEVER, since: NEVER };
      // Who has not followed so far, such as a command, is not to become one of the nodes that are waited for.
      if (isRead) follow().catch(() => {});
    }
    await acknowledged(published);
  });

  /** Waits for the nodes that hold a lease: they say that they have it, or their lease runs out. */
  async function acknowledged(by: number): Promise<void> {
    const deadline = clock.monotonic() + LEASE_OVER_MS;
    for (let wait: number = LOOK_MS[0]; ; wait = Math.min(2 * wait, LOOK_MS[1])) {
      const nodes = await projection.behind(by);
      if (nodes.length === 0) return;
      if (clock.monotonic() >= deadline) return projection.drop(nodes, by);
      await clock.pause(wait);
    }
  }

  projection.listen((from, batch) => {
    take(from, batch);
    // Tells them that it is here, or finds out what is missing before it.
    follow().catch(() => {});
  });

  async function enforce(): Promise<void> {
    const begun = clock.monotonic();
    try {
      await within(ENFORCE_TIMEOUT_MS, publish());
      metrics.revocationEnforced((clock.monotonic() - begun) / 1000);
    } catch (cause) {
      metrics.revocationPending();
      throw new Refusal('revocation_pending', { retryAfter: RETRY_AFTER_S, cause });
    }
  }

  return {
    async check(token, subject) {
      // A rule is never undone, so what an old copy refuses is refused.
      if (copy.covers(token)) throw new Refusal('token_revoked', { subject });
      if (isCurrent()) return 'good';
      const revoked = await projection.ask(token).catch(() => null);
      if (revoked === false) return 'good';
      if (revoked) throw new Refusal('token_revoked', { subject });
      metrics.revocationUnknown(failOpen ? 'let_through' : 'refused');
      if (!failOpen) throw new Refusal('revocation_unknown', { subject, retryAfter: RETRY_AFTER_S });
      return 'unknown';
    },
    enforce,
    async enforceUntil(notBefore) {
      await enforce();
      const left = notBefore - clock.now();
      // A timer may be early by a millisecond.
      if (left > 0) await clock.pause(left + 1);
    },
    follow,
    relay: publish,
    covers: (token, at) => copy.covers(token, at),
    isCurrent,
    canTell: async () => isCurrent() || (await projection.ask(NOBODYS)) !== null,
    head: () => head,
    onGrown: (listener) => void listeners.push(listener),
    size: () => copy.size,
  };
}
