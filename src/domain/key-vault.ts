/** Private keys on their way into the store and out of it: made or taken, sealed under a KEK, opened again. */
import type { JWK } from 'jose';
import type { KekSource } from '../ports/kek-source.js';
import type { Random } from '../ports/random.js';
import type { SigningKeyRow } from '../ports/signing-key-store.js';
import type { SigningKeyHandle, TokenSigner } from '../ports/token-signer.js';
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
  /** What was sealed is no key that the signer can use. */
  | 'not_usable';

export interface KeyVault {
  /** A new key pair, sealed under the newest KEK. Slow: an RSA key takes some 100 ms. */
  make(alg: SigningAlg): Promise<SealedKey>;
  /** Seals a pair that was made elsewhere. The bytes of `privatePkcs8` are gone afterwards. */
  seal(alg: SigningAlg, pair: { publicJwk: JWK; privatePkcs8: Uint8Array }): Promise<SealedKey>;
  /** Only for keys whose private part still exists. */
  open(row: SigningKeyRow): SigningKeyHandle | KeyProblem;
  /** The same key under the newest KEK. */
  reseal(row: SigningKeyRow): { sealedPrivate: Uint8Array; kekId: string } | KeyProblem;
  newestKekId(): string;
}

export interface KeyVaultParts {
  keks: KekSource;
  signer: TokenSigner;
  random: Random;
  thumbprint: (publicJwk: JWK) => Promise<string>;
}

export function createKeyVault({ keks, signer, random, thumbprint }: KeyVaultParts): KeyVault {
  async function seal(alg: SigningAlg, { publicJwk, privatePkcs8 }: { publicJwk: JWK; privatePkcs8: Uint8Array }) {
    const kid = await thumbprint(publicJwk);
    const kek = keks.newest();
    const sealedPrivate = sealPrivateKey(privatePkcs8, kid, kek, random);
    privatePkcs8.fill(0);
    return { kid, alg, publicJwk: { ...publicJwk, kid, alg, use: 'sig' }, sealedPrivate, kekId: kek.id };
  }

  function unseal({ kid, kekId, sealedPrivate }: SigningKeyRow): Uint8Array | KeyProblem {
    const kek = kekId === null ? null : keks.find(kekId);
    if (kek === null) return 'kek_missing';
    return (sealedPrivate && openPrivateKey(sealedPrivate, kid, kek)) ?? 'seal_broken';
  }

  return {
    seal,
    make: async (alg) => seal(alg, await signer.generate(alg)),
    open(row) {
      const pkcs8 = unseal(row);
      if (typeof pkcs8 === 'string') return pkcs8;
      try {
        return signer.open(row.alg, pkcs8);
      } catch {
        return 'not_usable';
      } finally {
        pkcs8.fill(0);
      }
    },
    reseal(row) {
      const pkcs8 = unseal(row);
      if (typeof pkcs8 === 'string') return pkcs8;
      const kek = keks.newest();
      const sealedPrivate = sealPrivateKey(pkcs8, row.kid, kek, random);
      pkcs8.fill(0);
      return { sealedPrivate, kekId: kek.id };
    },
    newestKekId: () => keks.newest().id,
  };
}
