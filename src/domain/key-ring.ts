/**
 * The signing keys as this node sees them: which one signs, which ones are published. The view is read from the store
 * every POLL_S and when another node says that it changed; tokens are verified and the JWKS is served from memory.
 */
import type { JWK } from 'jose';
import type { Announcements } from '../ports/announcements.js';
import type { Clock } from '../ports/clock.js';
import type { SigningKeyRow, SigningKeyStore } from '../ports/signing-key-store.js';
import type { SigningKeyHandle } from '../ports/token-signer.js';
import { auditEvent, byService } from './audit.js';
import { coalesced } from './coalesced.js';
import { Refusal } from './errors.js';
import { first } from './key-cycle.js';
import type { KeyFault, KeyVault } from './key-vault.js';
import type { Instant, SigningAlg } from './types.js';

/** `max-age` of the JWKS, seconds (M in the design). Everything else in a key's life is derived from it. */
export const JWKS_MAX_AGE_S = 300;
/** A node whose view is older refuses to sign: the key may have been revoked meanwhile. Seconds. */
export const MAX_VIEW_AGE_S = 2 * JWKS_MAX_AGE_S;
/** How often the view is read again, seconds. */
export const POLL_S = 30;
/** An unknown `kid` makes the node look at once, but no more often than this, seconds. */
const UNKNOWN_KID_COOLDOWN_S = 5;

export interface PublishedKey {
  kid: string;
  alg: SigningAlg;
  /** With `kid`, `alg` and `use`; public members only. */
  publicJwk: JWK;
}

export interface SealedKeyProblem extends KeyFault {
  kid: string;
  kekId: string | null;
}

export interface KeyRing {
  /** Reads the view from the store, making the first key if there has never been one. */
  load(): Promise<void>;
  /** Throws Refusal `signing_key_unavailable`. */
  signingKey(): { kid: string; alg: SigningAlg; handle: SigningKeyHandle };
  /** The published key with this id; looks at the store once in a while for one it does not know. */
  find(kid: string): Promise<PublishedKey | null>;
  /** Whether a key that was not found was published once: tokens of it are old, or revoked with it, and no inventions. */
  wasPublished(kid: string): boolean;
  /** The same array as long as the same view of the keys is held. */
  published(): readonly PublishedKey[];
  /** Keys that should be able to sign but could not be opened, or do not sign. */
  problems(): readonly SealedKeyProblem[];
}

export interface KeyRingParts {
  store: SigningKeyStore;
  vault: KeyVault;
  announcements: Announcements;
  clock: Clock;
  alg: SigningAlg;
}

interface View {
  /** On the monotonic clock. */
  readAt: number;
  byKid: Map<string, PublishedKey>;
  published: readonly PublishedKey[];
  signing: { kid: string; alg: SigningAlg; handle: SigningKeyHandle } | null;
  problems: SealedKeyProblem[];
}

/** A private key that was opened once is not opened at every poll. */
interface Opened {
  kekId: string | null;
  sealedPrivate: Uint8Array;
  handle: SigningKeyHandle;
}

export function createKeyRing(parts: KeyRingParts): KeyRing {
  const { store, vault, announcements, clock, alg } = parts;
  let view: View | null = null;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let opened = new Map<string, Opened>();
  let looked: Promise<unknown> = Promise.resolve();
  /** Ids alone, a few each year. */
  const former = new Set<string>();

  const load = coalesced(read);

  async function read(): Promise<void> {
    const readAt = clock.monotonic();
    let rows = await store.published();
    // Only where there has never been a key: one that is lost or cannot be opened is replaced by nobody in silence.
    if (rows.length === 0) {
      const { keys, now } = await store.keySet();
      if (keys.length === 0) {
        await makeFirstKey(now);
        rows = await store.published();
      }
    }
    const read = rows.map(({ kid, alg, publicJwk }) => ({ kid, alg, publicJwk }));
    // As long as nothing has changed the keys are the same objects: others tell by that whether they know them.
    const published = view !== null && same(view.published, read) ? view.published : read;
    const fresh: View = {
      readAt,
      byKid: new Map(published.map((key) => [key.kid, key])),
      published,
      signing: null,
      problems: [],
    };
    // What can no longer sign is forgotten: only the keys of these rows are taken over.
    const open = new Map<string, Opened>();
    const found = await openAll(rows, fresh.problems);
    for (const row of rows) {
      const known = found.get(row.kid);
      if (known === undefined) continue;
      // By the next look, and by readiness meanwhile, it is known whether a key that nobody has used yet does sign.
      known.handle.check();
      open.set(row.kid, known);
      // With several algorithms published, the configured one signs; until it has a key, the one that there is.
      const preferred = fresh.signing === null || row.alg === alg;
      if (row.state === 'active' && preferred) fresh.signing = { kid: row.kid, alg: row.alg, handle: known.handle };
    }
    opened = open;
    // Of a key that has just been revoked everybody's tokens come at once: nobody may have to look for it first.
    for (const kid of view?.byKid.keys() ?? []) if (!fresh.byKid.has(kid)) former.add(kid);
    view = fresh;
  }

  /** All at once: a device that does not answer is waited for once. */
  async function openAll(rows: SigningKeyRow[], problems: SealedKeyProblem[]): Promise<Map<string, Opened>> {
    const results = await Promise.all(rows.filter(({ state }) => state !== 'retiring').map(openRow));
    const found = new Map<string, Opened>();
    for (const { kid, kekId, opened, fault } of results) {
      if (fault !== null) problems.push({ kid, kekId, ...fault });
      if (opened !== null) found.set(kid, opened);
    }
    return found;
  }

  async function openRow(row: SigningKeyRow) {
    const { kid, kekId, sealedPrivate } = row;
    const known = opened.get(kid) ?? null;
    if (sealedPrivate === null) return { kid, kekId, opened: null, fault: null };
    const unchanged = known?.kekId === kekId && Buffer.compare(known.sealedPrivate, sealedPrivate) === 0;
    if (unchanged) return { kid, kekId, opened: known, fault: null };
    const result = await vault.open(row);
    if ('handle' in result) return { kid, kekId, opened: { kekId, sealedPrivate, handle: result.handle }, fault: null };
    // Sealed anew in a way that this node cannot open. It goes on with what it has, and says that a restart would end it.
    return { kid, kekId, opened: known, fault: result };
  }

  /** Nobody has seen a key yet, so the first one may sign at once. Of several nodes that start together one wins. */
  async function makeFirstKey(at: Instant): Promise<void> {
    const key = await vault.make(alg);
    const { row, event } = first(key, at);
    const { kid, details } = event;
    const audit = auditEvent(event.event, 'success', at, byService.caller, {
      actor: byService.actor,
      details: { kid, alg, ...details },
    });
    if (await store.createFirst(row, audit)) {
      // The others look by themselves within POLL_S if they do not hear it.
      await announcements.announce('signing-keys').catch(() => {});
    } else {
      // What cannot be destroyed now is found by the node that next looks for what was left behind.
      await vault.destroy(key).catch(() => {});
    }
  }

  async function lookForFormer(): Promise<void> {
    const { keys } = await store.keySet();
    for (const { kid, state } of keys) if (state === 'retired' || state === 'revoked') former.add(kid);
  }

  /** What does not sign now, though it could be opened. */
  function silent(): SealedKeyProblem[] {
    return [...opened].flatMap(([kid, { kekId, handle }]) => {
      const error = handle.problem();
      return error === null ? [] : [{ kid, kekId, problem: 'not_signing' as const, error }];
    });
  }

  return {
    load,
    signingKey() {
      const fresh = view !== null && clock.monotonic() - view.readAt <= MAX_VIEW_AGE_S * 1000;
      const signing = view?.signing ?? null;
      if (!fresh || signing === null || signing.handle.problem() !== null)
        throw new Refusal('signing_key_unavailable', { retryAfter: POLL_S });
      return signing;
    },
    async find(kid) {
      const known = view?.byKid.get(kid);
      if (known !== undefined) return known;
      const now = clock.monotonic();
      if (now - lookedAt >= UNKNOWN_KID_COOLDOWN_S * 1000) {
        lookedAt = now;
        looked = Promise.all([load(), lookForFormer()]).catch(() => {});
      }
      // Whoever comes while one looks waits for what he finds.
      await looked;
      return view?.byKid.get(kid) ?? null;
    },
    wasPublished: (kid) => former.has(kid),
    published: () => view?.published ?? [],
    problems: () => [...(view?.problems ?? []), ...silent()],
  };
}

const same = (a: readonly PublishedKey[], b: readonly PublishedKey[]): boolean =>
  a.length === b.length && a.every(({ kid }, i) => kid === b[i]?.kid);
