import type { JWK } from 'jose';
import type { SigningAlg } from '../domain/types.js';

/** A private key that can sign, without saying where it is: in this process, in an HSM, or in a cloud KMS. */
export interface SigningKeyHandle {
  /** The JWS signature (RFC 7518 §3) of the signing input. Runs off the event loop. */
  sign(signingInput: Uint8Array): Promise<Uint8Array>;
  /** What is wrong since a signature could not be made, until the key is known to sign again; else null. Never waits. */
  problem(): string | null;
  /** Finds out whether the key signs, and as the public part says where another could take its place, by the next time that `problem` is asked. Never waits. */
  check(): void;
}

export interface KeyPair {
  publicJwk: JWK;
  material: Uint8Array;
}

/**
 * A key's material is what its signer finds the private part by: the key itself, or a reference into a device. Whoever
 * keeps it seals it either way, and does not look into it.
 */
export interface TokenSigner {
  generate(alg: SigningAlg): Promise<KeyPair>;
  /** The material of a key that was made elsewhere. Rejects with Refusal `key_rejected` where none of these is taken. */
  adopt(privatePkcs8: Uint8Array): Promise<Uint8Array>;
  /** Rejects when the material stands for no key, or what holds the key cannot be reached. */
  open(alg: SigningAlg, pair: KeyPair): Promise<SigningKeyHandle>;
  /** Destroys what the material stands for outside of itself. To be called where the material is thrown away. */
  destroy(material: Uint8Array): Promise<void>;
  /**
   * The keys that are kept outside of their material, in use or not, as far as they can be told from those of others. One
   * that was left while it was made has a name in place of its kid.
   */
  held(): Promise<{ kid: string; material: Uint8Array }[]>;
}

/** One of several signers, which knows its own keys. */
export interface DistinctSigner extends TokenSigner {
  /** Whether material is of this signer's making. */
  owns(material: Uint8Array): boolean;
}

/** Whether `signature` is the JWS signature of `signingInput` by the key. */
export type VerifySignature = (
  alg: SigningAlg,
  publicJwk: JWK,
  signingInput: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean>;
