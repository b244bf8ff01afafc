/**
 * The signing keys as this node sees them: which one signs, which ones are published. The view is read from the store
 * every POLL_S and when another node says that it changed; tokens are verified and the JWKS is served from memory.
 */
import type { JWK } from 'jose';
import type { Announcements } from '../ports/announcements.js';
import type { Clock } from '../ports/clock.js';
import type { KekSource } from '../ports/kek-source.js';
import type { Random } from '../ports/random.js';
import type { SigningKeyRow, SigningKeyStore } from '../ports/signing-key-store.js';
import type { SigningKeyHandle, TokenSigner } from '../ports/token-signer.js';
import { Refusal } from './errors.js';
import { openPrivateKey, sealPrivateKey } from './sealing.js';
import type { AuditEvent, Instant, SigningAlg } from './types.js';

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

export interface SealedKeyProblem {
  kid: string;
  kekId: string | null;
  /** What the signer said of it, where its KEK did open it. */
  error?: string;
}

export interface KeyRing {
  /** Reads the view from the store, making the first key if there is none. */
  load(): Promise<void>;
  /** Throws Refusal `signing_key_unavailable`. */
  signingKey(): { kid: string; alg: SigningAlg; handle: SigningKeyHandle };
  /** The published key with this id; looks at the store once in a while for one it does not know. */
  find(kid: string): Promise<PublishedKey | null>;
  published(): readonly PublishedKey[];
  /** Keys that should be able to sign but could not be opened. */
  problems(): readonly SealedKeyProblem[];
}

export interface KeyRingParts {
  store: SigningKeyStore;
  keks: KekSource;
  signer: TokenSigner;
  announcements: Announcements;
  clock: Clock;
  random: Random;
  alg: SigningAlg;
  thumbprint: (publicJwk: JWK) => Promise<string>;
}

interface View {
  readAt: Instant;
  published: Map<string, PublishedKey>;
  signing: { kid: string; alg: SigningAlg; handle: SigningKeyHandle } | null;
  problems: SealedKeyProblem[];
}

export function createKeyRing(parts: KeyRingParts): KeyRing {
  const { store, keks, signer, announcements, clock, alg } = parts;
  let view: View | null = null;
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  let lookedAt = Number.NEGATIVE_INFINITY;
  // A private key is opened once, not at every poll.
  const opened = new Map<string, SigningKeyHandle>();

  /** Sees what was there when it was called: a read that had begun by then may have missed it, so one more follows. */
  function load(): Promise<void> {
    if (running === null) {
      running = read().finally(() => {
        running = null;
      });
      return running;
    }
    next ??= running
      .catch(() => {})
      .then(() => {
        next = null;
        return load();
      });
    return next;
  }

  async function read(): Promise<void> {
    const readAt = clock.now();
    let rows = await store.published();
    if (!rows.some((row) => row.state === 'active')) {
      await makeFirstKey();
      rows = await store.published();
    }
    const fresh: View = { readAt, published: new Map(), signing: null, problems: [] };
    for (const row of rows) {
      fresh.published.set(row.kid, { kid: row.kid, alg: row.alg, publicJwk: row.publicJwk });
      const handle = await open(row, fresh.problems);
      // With several algorithms published, the configured one signs; until it has a key, the one that there is.
      const preferred = fresh.signing === null || row.alg === alg;
      if (row.state === 'active' && handle !== null && preferred)
        fresh.signing = { kid: row.kid, alg: row.alg, handle };
    }
    for (const kid of opened.keys()) if (!fresh.published.has(kid)) opened.delete(kid);
    view = fresh;
  }

  async function open(row: SigningKeyRow, problems: SealedKeyProblem[]): Promise<SigningKeyHandle | null> {
    const known = opened.get(row.kid);
    if (known !== undefined || row.state === 'retiring') return known ?? null;
    const { kid, kekId } = row;
    const kek = kekId === null ? null : keks.find(kekId);
    const material = row.sealedPrivate && kek && openPrivateKey(row.sealedPrivate, kid, kek);
    if (!material) {
      problems.push({ kid, kekId });
      return null;
    }
    try {
      const handle = await signer.open(row.alg, material);
      opened.set(kid, handle);
      return handle;
    } catch (error) {
      // A device that cannot be reached must not keep the other keys from being seen; the next poll tries again.
      problems.push({ kid, kekId, error: error instanceof Error ? error.message : String(error) });
      return null;
    } finally {
      material.fill(0);
    }
  }

  /** Nobody has seen a key yet, so the first one may sign at once. Of several nodes that start together one wins. */
  async function makeFirstKey(): Promise<void> {
    const { publicJwk, material } = await signer.generate(alg);
    const kid = await parts.thumbprint(publicJwk);
    const kek = keks.newest();
    const at = clock.now();
    const sealedPrivate = sealPrivateKey(material, kid, kek, parts.random);
    const audit: AuditEvent = {
      at,
      event: 'signing_key.created',
      outcome: 'success',
      actor: 'service',
      ip: null,
      place: null,
      userAgent: null,
      requestId: null,
      details: { kid, alg, kek: kek.id },
    };
    const row: SigningKeyRow = {
      kid,
      alg,
      state: 'active',
      publicJwk: { ...publicJwk, kid, alg, use: 'sig' },
      sealedPrivate,
      kekId: kek.id,
      createdAt: at,
      publishedAt: at,
      activatedAt: at,
    };
    if (await store.createFirst(row, audit)) {
      // The others look by themselves within POLL_S if they do not hear it.
      await announcements.announce('signing-keys').catch(() => {});
    } else {
      await signer.destroy(material).catch(() => {});
    }
    material.fill(0);
  }

  return {
    load,
    signingKey() {
      const fresh = view !== null && clock.now() - view.readAt <= MAX_VIEW_AGE_S * 1000;
      if (!fresh || !view?.signing?.handle.available())
        throw new Refusal('signing_key_unavailable', { retryAfter: POLL_S });
      return view.signing;
    },
    async find(kid) {
      const known = view?.published.get(kid);
      if (known !== undefined) return known;
      const now = clock.now();
      if (now - lookedAt >= UNKNOWN_KID_COOLDOWN_S * 1000) {
        lookedAt = now;
        await load().catch(() => {});
      }
      return view?.published.get(kid) ?? null;
    },
    published: () => [...(view?.published.values() ?? [])],
    problems: () => view?.problems ?? [],
  };
}
