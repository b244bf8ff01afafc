/**
 * Private keys on their way into the store and out of it: made or taken, sealed under a KEK, opened again, destroyed.
 * What is sealed is the key, or, where a device keeps that, how it is found there.
 */
import type { JWK } from 'jose';
import type { KekSource } from '../ports/kek-source.js';
import type { Random } from '../ports/random.js';
import type { SigningKeyRow } from '../ports/signing-key-store.js';
import type { SigningKeyHandle, TokenSigner } from '../ports/token-signer.js';
import { Refusal } from './errors.js';
import { openPrivateKey, sealPrivateKey } from './sealing.js';
import type { SigningAlg } from './types.js';

/** What of a key does not change with its state, but for its seal. */
export interface SealedKey {
  kid: string;
  alg: SigningAlg;
  publicJwk: JWK;
  sealedPrivate: Uint8Array;
  kekId: string;
}

export type KeyProblem =
  /** The KEK that it is sealed under is not there. */
  | 'kek_missing'
  /** The KEK of that id does not open it: that one is another key, or the row was changed. */
  | 'seal_broken'
  /** What was sealed is no key, or what holds the key cannot be reached. */
  | 'not_usable'
  /** It could be opened, and does not sign. */
  | 'not_signing';

export interface KeyFault {
  problem: KeyProblem;
  /** What the signer said, where it was asked. */
  error?: string;
}

/** What is stored of a private key. */
export type Sealed = Pick<SigningKeyRow, 'kid' | 'kekId' | 'sealedPrivate'>;

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export interface KeyVault {
  /**
   * A new key pair, sealed under the newest KEK. Slow: an RSA key takes some 100 ms. Rejects with Refusal
   * `signing_key_unavailable` when the signer makes none.
   */
  make(alg: SigningAlg): Promise<SealedKey>;
  /** Takes a pair that was made elsewhere. The bytes of `privatePkcs8` are gone afterwards. Rejects with `key_rejected`. */
  adopt(alg: SigningAlg, pair: { publicJwk: JWK; privatePkcs8: Uint8Array }): Promise<SealedKey>;
  /** Only for keys whose private part still exists. */
  open(row: SigningKeyRow): Promise<{ handle: SigningKeyHandle } | KeyFault>;
  /** The same key under the newest KEK. */
  reseal(row: SigningKeyRow): { sealedPrivate: Uint8Array; kekId: string } | KeyProblem;
  /** Destroys what there is of the key outside of the store. What no KEK opens leads nowhere, and is passed over. */
  destroy(key: Sealed): Promise<void>;
  /** The keys that are kept outside of the store. */
  held(): Promise<{ kid: string; destroy(): Promise<void> }[]>;
  newestKekId(): string;
}

export interface KeyVaultParts {
  keks: KekSource;
  signer: TokenSigner;
  random: Random;
  thumbprint: (publicJwk: JWK) => Promise<string>;
}

export function createKeyVault({ keks, signer, random, thumbprint }: KeyVaultParts): KeyVault {
  /** Wipes the material. */
  async function seal(alg: SigningAlg, publicJwk: JWK, material: Uint8Array): Promise<SealedKey> {
    try {
      const kid = await thumbprint(publicJwk);
      const kek = keks.newest();
      const sealedPrivate = sealPrivateKey(material, kid, kek, random);
      return { kid, alg, publicJwk: { ...publicJwk, kid, alg, use: 'sig' }, sealedPrivate, kekId: kek.id };
    } finally {
      material.fill(0);
    }
  }

  function unseal({ kid, kekId, sealedPrivate }: Sealed): Uint8Array | KeyProblem {
    const kek = kekId === null ? null : keks.find(kekId);
    if (kek === null) return 'kek_missing';
    return (sealedPrivate && openPrivateKey(sealedPrivate, kid, kek)) ?? 'seal_broken';
  }

  return {
    async make(alg) {
      // Without a KEK a device would be left with a key that nobody can find again.
      keks.newest();
      const { publicJwk, material } = await signer.generate(alg).catch((cause) => {
        throw new Refusal('signing_key_unavailable', {
          detail: `A new signing key cannot be made: ${messageOf(cause)}`,
          cause,
        });
      });
      return seal(alg, publicJwk, material);
    },
    async adopt(alg, { publicJwk, privatePkcs8 }) {
      try {
        return await seal(alg, publicJwk, await signer.adopt(privatePkcs8));
      } finally {
        privatePkcs8.fill(0);
      }
    },
    async open(row) {
      const material = unseal(row);
      if (typeof material === 'string') return { problem: material };
      try {
        return { handle: await signer.open(row.alg, { publicJwk: row.publicJwk, material }) };
      } catch (error) {
        return { problem: 'not_usable', error: messageOf(error) };
      } finally {
        material.fill(0);
      }
    },
    reseal(row) {
      const material = unseal(row);
      if (typeof material === 'string') return material;
      try {
        const kek = keks.newest();
        return { sealedPrivate: sealPrivateKey(material, row.kid, kek, random), kekId: kek.id };
      } finally {
        material.fill(0);
      }
    },
    async destroy(key) {
      const material = unseal(key);
      if (typeof material === 'string') return;
      await signer.destroy(material).finally(() => material.fill(0));
    },
    held: async () =>
      (await signer.held()).map(({ kid, material }) => ({ kid, destroy: () => signer.destroy(material) })),
    newestKekId: () => keks.newest().id,
  };
}
