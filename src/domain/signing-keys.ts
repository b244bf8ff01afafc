/** What people and time do to the signing keys. What may happen when is decided in key-cycle.ts. */
import type { JWK } from 'jose';
import type { Announcements } from '../ports/announcements.js';
import type { SigningKeyRow, SigningKeyState, SigningKeyStore } from '../ports/signing-key-store.js';
import { auditEvent, byService } from './audit.js';
import { Refusal } from './errors.js';
import * as cycle from './key-cycle.js';
import { createKeyDisposal, type Leftover } from './key-disposal.js';
import { JWKS_MAX_AGE_S, type KeyRing } from './key-ring.js';
import type { KeyVault, SealedKey } from './key-vault.js';
import type { By, Instant, SigningAlg } from './types.js';

export interface KeyInfo {
  kid: string;
  alg: SigningAlg;
  state: SigningKeyState;
  /** The KEK that seals the private part; null once that is destroyed. */
  kekId: string | null;
  createdAt: Instant;
  publishedAt: Instant;
  activatedAt: Instant | null;
  retiringAt: Instant | null;
  retiredAt: Instant | null;
  revokedAt: Instant | null;
  /** What will become of it by itself. */
  next: { state: SigningKeyState; at: Instant } | null;
}

export interface KeyOperation {
  before: KeyInfo[];
  after: KeyInfo[];
  outcome: cycle.Decision['outcome'];
  /** When it happened, or will by itself. */
  at: Instant | null;
  /** Whether the other nodes were told; else they look by themselves within POLL_S. */
  announced: boolean;
}

/** All operations reject with `store_unavailable` when the store can't be reached; nothing is then half done. */
export interface SigningKeys {
  /** Every key that there ever was, the oldest first. */
  list(): Promise<KeyInfo[]>;
  /** Another key is to sign: at once, or as soon as verifiers know it. Rejects with `key_unusable`. */
  rotate(by: By): Promise<KeyOperation>;
  /** This pending key is to sign. Rejects with `key_not_found`, `key_state_conflict`, `key_unusable`. */
  promote(kid: string, by: By): Promise<KeyOperation>;
  /**
   * The key is no longer to be trusted. Without `compromised` no token that is still good stops working. Where no other
   * key could take its place none signs until `tend` has made one. Rejects with `key_not_found`, `key_state_conflict`.
   */
  revoke(kid: string, options: { compromised: boolean }, by: By): Promise<KeyOperation>;
  /** A private key that was made elsewhere, as PEM, becomes a pending key. Rejects with `key_rejected`, `key_state_conflict`, `key_unusable`. */
  import(pem: string, alg: SigningAlg | null, by: By): Promise<KeyOperation & { kid: string }>;
  /** Seals every private key under the newest KEK. Rejects with `key_unusable`, and then none is. */
  rewrap(by: By): Promise<KeyOperation>;
  /** Does what is due, keeps a pending key ready, and destroys what is left of others. Resolves to what it did. */
  tend(): Promise<cycle.KeyEvent[]>;
  /** Resolves when nothing goes on any more of what a change has left to do. */
  settled(): Promise<void>;
  /** What `tend` found outside of the store and could not, or may not, destroy. */
  leftovers(): readonly Leftover[];
}

export interface SigningKeysParts {
  store: SigningKeyStore;
  vault: KeyVault;
  /** This node's own view, which follows at once. */
  ring: Pick<KeyRing, 'load'>;
  announcements: Announcements;
  /** The parts of a private key in PEM. Throws Refusal `key_rejected`. */
  readPrivateKey: (pem: string, alg: SigningAlg) => Promise<{ publicJwk: JWK; privatePkcs8: Uint8Array }>;
  within: <T>(ms: number, work: Promise<T>) => Promise<T>;
  settings: Omit<cycle.CycleSettings, 'maxAge'>;
}

/** A key pair that was made for a decision. It is destroyed if nothing comes of that. */
interface Spare {
  key: SealedKey | null;
}

/** Milliseconds. Much less than an operator's request may take. */
const AFTERMATH_MS = 3000;
/** Whoever loses the swap looks again; each time somebody else has won, so that it ends soon. */
const MAX_ATTEMPTS = 20;

export function createSigningKeys(parts: SigningKeysParts): SigningKeys {
  const { store, vault, ring, announcements, readPrivateKey, within } = parts;
  const disposal = createKeyDisposal(vault);
  const settings: cycle.CycleSettings = { ...parts.settings, maxAge: JWKS_MAX_AGE_S };

  let settling: Promise<unknown> = Promise.resolve();

  async function look(): Promise<cycle.KeySet> {
    const { keys, ...rest } = await store.keySet();
    const sealed = keys.filter(({ sealedPrivate }) => sealedPrivate !== null);
    const tried = await Promise.all(sealed.map(async (key) => ({ kid: key.kid, result: await vault.open(key) })));
    const unusable = new Set(tried.filter(({ result }) => !('handle' in result)).map(({ kid }) => kid));
    return { keys, unusable, ...rest };
  }

  /** The first key of all is made by whoever reads the keys first. */
  async function lookAtSome(): Promise<cycle.KeySet> {
    const set = await look();
    if (set.keys.length > 0) return set;
    await ring.load();
    return look();
  }

  async function commit(
    set: cycle.KeySet,
    { put, events }: cycle.Change,
    at: Instant,
    by: By,
    spare: Spare,
  ): Promise<boolean> {
    const audit = events.map(({ event, kid, alg, details }) =>
      auditEvent(event, 'success', at, by.caller, { actor: by.actor, details: { kid, alg, ...details } }),
    );
    const { key } = spare;
    const used = put.some(({ kid }) => kid === key?.kid);
    // Where the database's answer is lost the key may have been stored: only after a clear no is it spare again.
    if (used) spare.key = null;
    const done = await store.change(set.keys, put, audit);
    if (used && !done) spare.key = key;
    return done;
  }

  async function withSpare<T>(work: (spare: Spare) => Promise<T>): Promise<T> {
    const spare: Spare = { key: null };
    try {
      return await work(spare);
    } finally {
      if (spare.key !== null) await disposal.discard(spare.key);
    }
  }

  /** The others look by themselves within POLL_S if they do not hear it; so does this node if it fails. */
  async function tell(): Promise<boolean> {
    const [announced] = await Promise.allSettled([announcements.announce('signing-keys'), ring.load()]);
    return announced.status === 'fulfilled';
  }

  /** Decides on what is there until the decision is stored, or is that nothing has to be. */
  const carryOut = (
    decide: (set: cycle.KeySet, at: Instant, fresh: SealedKey | null) => cycle.Decision | typeof cycle.NEEDS_KEY,
    by: By,
  ): Promise<KeyOperation> =>
    withSpare(async (spare) => {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const set = await lookAtSome();
        const { now } = set;
        const decision = decide(set, now, spare.key);
        if (decision === cycle.NEEDS_KEY) {
          spare.key = await vault.make(settings.alg);
          continue;
        }
        const { put, outcome, at } = decision;
        const before = infoOf(set);
        if (put.length === 0) return { before, after: before, outcome, at, announced: true };
        if (!(await commit(set, decision, now, by, spare))) continue;
        const announced = await tell();
        // What was asked for has been done. Should the rest fail, it is tried again before long; should it take long, it
        // goes on, and nobody who is in a hurry has to wait for a device.
        const tidied = tidyUp(set, put);
        settling = Promise.allSettled([settling, tidied]);
        const after = await within(AFTERMATH_MS, tidied).catch(() => infoOf(changed(set, put)));
        return { before, after, outcome, at, announced };
      }
      throw new Refusal('key_state_conflict', {
        detail: 'The signing keys are being changed by somebody else; try again',
      });
    });

  async function tidyUp(set: cycle.KeySet, put: cycle.Change['put']): Promise<KeyInfo[]> {
    await disposal.after(set.keys, put);
    await tend().catch(() => {});
    return list();
  }

  const tend = (): Promise<cycle.KeyEvent[]> =>
    withSpare(async (spare) => {
      const did: cycle.KeyEvent[] = [];
      const committed: { set: cycle.KeySet; put: cycle.Change['put'] }[] = [];
      let set = await lookAtSome();
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++, set = await lookAtSome()) {
        const { now } = set;
        let change = cycle.due(set, now, settings);
        if (change.put.length === 0) {
          if (!cycle.lacksPending(set, settings)) break;
          if (spare.key === null) {
            spare.key = await vault.make(settings.alg);
            continue;
          }
          change = cycle.publish(set, spare.key, now);
        }
        if (await commit(set, change, now, byService, spare)) {
          did.push(...change.events);
          committed.push({ set, put: change.put });
        }
      }
      if (did.length > 0) await tell();
      for (const { set: seen, put } of committed) await disposal.after(seen.keys, put);
      await disposal.sweep(set.keys);
      return did;
    });

  const infoOf = (set: cycle.KeySet): KeyInfo[] =>
    set.keys.map((key) => {
      const { kid, alg, state, kekId, createdAt, publishedAt, activatedAt, retiringAt, retiredAt, revokedAt } = key;
      const instants = { createdAt, publishedAt, activatedAt, retiringAt, retiredAt, revokedAt };
      return { kid, alg, state, kekId, ...instants, next: cycle.nextOf(key, set, settings) };
    });

  const list = async () => infoOf(await look());

  const changed = (set: cycle.KeySet, put: readonly SigningKeyRow[]): cycle.KeySet => {
    const keys = new Map([...set.keys, ...put].map((key) => [key.kid, key]));
    return { ...set, keys: [...keys.values()] };
  };

  function rewrapped(set: cycle.KeySet, at: Instant): cycle.Decision {
    const newest = vault.newestKekId();
    const put: SigningKeyRow[] = [];
    const events: cycle.KeyEvent[] = [];
    for (const key of set.keys.filter(({ sealedPrivate, kekId }) => sealedPrivate !== null && kekId !== newest)) {
      const { kid, alg, kekId } = key;
      const sealed = vault.reseal(key);
      if (typeof sealed === 'string') {
        throw new Refusal('key_unusable', {
          detail: `The key ${kid} cannot be opened with the KEK ${kekId} (${sealed}); nothing was sealed anew`,
        });
      }
      put.push({ ...key, ...sealed });
      events.push({ event: 'signing_key.rewrapped', kid, alg, details: { from: kekId, to: sealed.kekId } });
    }
    return { put, events, outcome: put.length === 0 ? 'already' : 'done', at };
  }

  return {
    list,
    tend,
    settled: async () => void (await settling),
    leftovers: disposal.leftovers,
    rotate: (by) => carryOut((set, at, fresh) => cycle.rotate(set, at, settings, fresh), by),
    promote: (kid, by) => carryOut((set, at) => cycle.promote(set, kid, at, settings), by),
    revoke: (kid, { compromised }, by) => carryOut((set, at) => cycle.revoke(set, kid, compromised, at, settings), by),
    async import(pem, asked, by) {
      const alg = asked ?? settings.alg;
      const key = await vault.adopt(alg, await readPrivateKey(pem, alg));
      return { kid: key.kid, ...(await carryOut((set, at) => cycle.adopt(set, key, at), by)) };
    },
    rewrap: (by) => carryOut((set, at) => rewrapped(set, at), by),
  };
}

const time = (at: Instant): string => new Date(at).toISOString();
const iso = (at: Instant | null): string | null => at && time(at);

/** The form in which the command line and the HTTP API show a key. */
export const keyJson = (key: KeyInfo) => ({
  kid: key.kid,
  alg: key.alg,
  state: key.state,
  kek: key.kekId,
  created_at: time(key.createdAt),
  published_at: time(key.publishedAt),
  activated_at: iso(key.activatedAt),
  retiring_at: iso(key.retiringAt),
  retired_at: iso(key.retiredAt),
  next: key.next && { state: key.next.state, at: time(key.next.at) },
});
