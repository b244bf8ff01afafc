import type { JWK } from 'jose';
import type { SigningAlg } from '../domain/types.js';

/** A private key that can sign, without saying where it is: in this process, in an HSM, or in a cloud KMS. */
export interface SigningKeyHandle {
  /** The JWS signature (RFC 7518 §3) of the signing input. Runs off the event loop. */
  sign(signingInput: Uint8Array): Promise<Uint8Array>;
}

export interface TokenSigner {
  /** A new key pair; the private part as PKCS #8 DER. */
  generate(alg: SigningAlg): Promise<{ publicJwk: JWK; privatePkcs8: Uint8Array }>;
  open(alg: SigningAlg, privatePkcs8: Uint8Array): SigningKeyHandle;
}

/** Whether `signature` is the JWS signature of `signingInput` by the key. */
export type VerifySignature = (
  alg: SigningAlg,
  publicJwk: JWK,
  signingInput: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean>;
