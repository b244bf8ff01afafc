/** What each algorithm is in PKCS #11: how its keys are made, how they sign, and how their public part is spelled. */
import { createHash } from 'node:crypto';
import type { JWK } from 'jose';
import type { Mechanism, Template } from 'pkcs11js';
import { toBase64url } from '../../domain/base64url.js';
import type { SigningAlg } from '../../domain/types.js';

const CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0000;
const CKM_SHA256_RSA_PKCS = 0x0040;
const CKM_SHA256_RSA_PKCS_PSS = 0x0043;
const CKM_SHA256 = 0x0250;
const CKM_EC_KEY_PAIR_GEN = 0x1040;
const CKM_ECDSA = 0x1041;
const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
const CKM_EDDSA = 0x1057;
const CKA_MODULUS = 0x0120;
const CKA_MODULUS_BITS = 0x0121;
const CKA_PUBLIC_EXPONENT = 0x0122;
const CKA_EC_PARAMS = 0x0180;
const CKA_EC_POINT = 0x0181;
const CKG_MGF1_SHA256 = 2;
/** The number by which pkcs11js knows CK_RSA_PKCS_PSS_PARAMS. */
const PARAMS_RSA_PSS = 5;

const SHA256_BYTES = 32;
/** RFC 7518 §3.3 asks for at least 2048 bits; more would double the cost of each refresh. */
const RSA_BITS = 2048;
const RSA_EXPONENT = Buffer.from([1, 0, 1]);
/** DER of the object identifiers: prime256v1 and Ed25519. */
const P256 = Buffer.from('06082a8648ce3d030107', 'hex');
const ED25519 = Buffer.from('06032b6570', 'hex');

export interface Scheme {
  generate: number;
  publicTemplate: Template;
  /** The attributes of the public key that `jwk` is made of. */
  publicParts: number[];
  jwk(parts: Buffer[]): JWK;
  mechanism: Mechanism;
  /** What is given to the device of the signing input. */
  prepare(input: Buffer): Buffer;
}

const asIs = (input: Buffer): Buffer => input;

/** A JWK has no leading zeros in an integer (RFC 7518 §6.3.1.1); devices may. */
function unsigned(bytes: Buffer | undefined): string {
  const from = bytes?.findIndex((byte) => byte !== 0) ?? -1;
  if (bytes === undefined || from < 0) throw new Error('the device gave no number for an RSA key');
  return toBase64url(bytes.subarray(from));
}

/** Devices give a point bare or within an OCTET STRING; what counts is its end either way. */
function pointEnd(bytes: Buffer | undefined, length: number): Buffer {
  if (bytes === undefined || bytes.length < length) throw new Error('the device gave no point for a key on a curve');
  return bytes.subarray(-length);
}

const rsa = {
  generate: CKM_RSA_PKCS_KEY_PAIR_GEN,
  publicTemplate: [
    { type: CKA_MODULUS_BITS, value: RSA_BITS },
    { type: CKA_PUBLIC_EXPONENT, value: RSA_EXPONENT },
  ],
  publicParts: [CKA_MODULUS, CKA_PUBLIC_EXPONENT],
  jwk: ([n, e]: Buffer[]): JWK => ({ kty: 'RSA', n: unsigned(n), e: unsigned(e) }),
  prepare: asIs,
};

export const schemes: Record<SigningAlg, Scheme> = {
  RS256: { ...rsa, mechanism: { mechanism: CKM_SHA256_RSA_PKCS } },
  PS256: {
    ...rsa,
    mechanism: {
      mechanism: CKM_SHA256_RSA_PKCS_PSS,
      parameter: { type: PARAMS_RSA_PSS, hashAlg: CKM_SHA256, mgf: CKG_MGF1_SHA256, saltLen: SHA256_BYTES },
    },
  },
  ES256: {
    generate: CKM_EC_KEY_PAIR_GEN,
    publicTemplate: [{ type: CKA_EC_PARAMS, value: P256 }],
    publicParts: [CKA_EC_POINT],
    jwk([point]) {
      const xy = pointEnd(point, 64);
      return { kty: 'EC', crv: 'P-256', x: toBase64url(xy.subarray(0, 32)), y: toBase64url(xy.subarray(32)) };
    },
    // CKM_ECDSA_SHA256 came later and is missing in many devices.
    mechanism: { mechanism: CKM_ECDSA },
    prepare: (input) => createHash('sha256').update(input).digest(),
  },
  EdDSA: {
    generate: CKM_EC_EDWARDS_KEY_PAIR_GEN,
    publicTemplate: [{ type: CKA_EC_PARAMS, value: ED25519 }],
    publicParts: [CKA_EC_POINT],
    jwk: ([point]) => ({ kty: 'OKP', crv: 'Ed25519', x: toBase64url(pointEnd(point, 32)) }),
    mechanism: { mechanism: CKM_EDDSA },
    prepare: asIs,
  },
};
