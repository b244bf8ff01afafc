/**
 * Private keys that are kept outside of the store, as in an HSM, are destroyed there when the store no longer needs them:
 * at once by whoever changed the key set, and else, as when that process died, by the next one that looks. Keys that
 * the store has never heard of are told of and left alone: they may be another installation's.
 */
import type { SigningKeyRow } from '../ports/signing-key-store.js';
import { type KeyVault, messageOf, type Sealed } from './key-vault.js';

export interface Leftover {
  /** Null where it is not about one key. */
  kid: string | null;
  leftover: /** It should be gone, and is not. */
    | 'not_destroyed'
    /** What holds the keys could not be searched. */
    | 'not_searched'
    /** The store has no such key. */
    | 'unknown';
  error?: string;
}

export interface KeyDisposal {
  /** To be called when the change has been committed. Never rejects. */
  after(seen: readonly SigningKeyRow[], put: readonly SigningKeyRow[]): Promise<void>;
  /** For a key that was made and is certain not to have been stored. Never rejects. */
  discard(key: Sealed): Promise<void>;
  /** Looks for what was left behind, if there may be something, among all the keys that there ever were. Never rejects. */
  sweep(keys: readonly SigningKeyRow[]): Promise<void>;
  /** What is still to be mended. */
  leftovers(): readonly Leftover[];
}

export function createKeyDisposal(vault: Pick<KeyVault, 'destroy' | 'held'>): KeyDisposal {
  /** Keys without a private part that are known to be gone from everywhere. */
  const gone = new Set<string>();
  const left = new Map<string, Leftover>();
  /** One that another node has just made is not in the store yet, and is there at the next look. */
  let suspects = new Set<string>();
  let searched = false;

  async function destroy(kid: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      gone.add(kid);
      left.delete(kid);
    } catch (error) {
      left.set(kid, { kid, leftover: 'not_destroyed', error: messageOf(error) });
    }
  }

  async function search(keys: readonly SigningKeyRow[]): Promise<void> {
    const held = await vault.held();
    const known = new Map(keys.map((key) => [key.kid, key]));
    const unknown = new Set(held.map(({ kid }) => kid).filter((kid) => !known.has(kid)));
    for (const [kid, { leftover }] of left) if (leftover === 'unknown' && !unknown.has(kid)) left.delete(kid);
    for (const kid of unknown) if (suspects.has(kid)) left.set(kid, { kid, leftover: 'unknown' });
    suspects = unknown;
    for (const { kid, destroy: work } of held) if (known.get(kid)?.sealedPrivate === null) await destroy(kid, work);
    const here = new Set(held.map(({ kid }) => kid));
    for (const { kid } of keys.filter(({ kid, sealedPrivate }) => sealedPrivate === null && !here.has(kid))) {
      gone.add(kid);
      left.delete(kid);
    }
  }

  return {
    async after(seen, put) {
      const before = new Map(seen.map((key) => [key.kid, key]));
      for (const { kid, sealedPrivate } of put) {
        const old = before.get(kid);
        if (sealedPrivate === null && old?.sealedPrivate) await destroy(kid, () => vault.destroy(old));
      }
    },
    async discard(key) {
      // Should it fail, the search finds it: `unknown`.
      await vault.destroy(key).catch(() => {
        searched = false;
      });
    },
    async sweep(keys) {
      const nothingNew = keys.every(({ kid, sealedPrivate }) => sealedPrivate !== null || gone.has(kid));
      const told = [...suspects].every((kid) => left.has(kid));
      if (searched && nothingNew && told) return;
      try {
        await search(keys);
        searched = true;
        left.delete(SEARCH);
      } catch (error) {
        left.set(SEARCH, { kid: null, leftover: 'not_searched', error: messageOf(error) });
      }
    },
    leftovers: () => [...left.values()],
  };
}

/** Beside the kids, none of which is empty. */
const SEARCH = '';
