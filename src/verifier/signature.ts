/**
 * Whether a signature is a key's. Where there is Node's own crypto it is asked, which answers at once: that takes half the
 * processor's time of WebCrypto, which hands each over to a thread and back. It is looked for instead of imported, since
 * not everybody who speaks the Fetch API has it.
 */
import { type CryptoKey, compactVerify, importJWK } from 'jose';
import { bytesOf } from './ascii.js';
import type { JsonObject } from './strict-json.js';
import type { Algorithm } from './token.js';
import type { SignedToken } from './token-reader.js';

/** What is used of `node:crypto`. */
export interface NodeCrypto {
  createPublicKey(input: { key: JsonObject; format: 'jwk' }): object;
  verify(digest: string | null, data: Uint8Array, key: object, signature: Uint8Array): boolean;
  constants: Record<'RSA_PKCS1_PADDING' | 'RSA_PKCS1_PSS_PADDING' | 'RSA_PSS_SALTLEN_DIGEST', number>;
}

interface Process {
  getBuiltinModule?(name: string): unknown;
}

/** Null where there is none. */
export const nodeCrypto = (): NodeCrypto | null =>
  ((globalThis as { process?: Process }).process?.getBuiltinModule?.('node:crypto') as NodeCrypto | undefined) ?? null;

export type IsSigned = (token: SignedToken) => boolean | Promise<boolean>;

/** RFC 7518 §3.3. */
const MIN_RSA_BITS = 2048;
/** RFC 8017 §3.1. With 1 everything is its own signature. */
const MIN_RSA_EXPONENT = 3;

/** RFC 7518 §3.3 to §3.5, RFC 8037 §3.1. */
const schemes: Record<Algorithm, (constants: NodeCrypto['constants']) => { digest: string | null; options: object }> = {
  RS256: ({ RSA_PKCS1_PADDING: padding }) => ({ digest: 'sha256', options: { padding } }),
  PS256: ({ RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength }) => ({
    digest: 'sha256',
    options: { padding, saltLength },
  }),
  ES256: () => ({ digest: 'sha256', options: { dsaEncoding: 'ieee-p1363' } }),
  EdDSA: () => ({ digest: null, options: {} }),
};

/** Null where it is Node's by name alone: other runtimes have some of it, and throw at the rest. */
function byNode({ createPublicKey, verify, constants }: NodeCrypto, jwk: JsonObject, alg: Algorithm): IsSigned | null {
  try {
    const { digest, options } = schemes[alg](constants);
    const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), ...options };
    verify(digest, new Uint8Array(), key, new Uint8Array());
    return ({ signingInput, signature }) => verify(digest, bytesOf(signingInput), key, signature);
  } catch {
    return null;
  }
}

function byJose(key: CryptoKey, alg: Algorithm): IsSigned {
  const algorithms = [alg];
  return ({ token }) =>
    compactVerify(token, key, { algorithms }).then(
      () => true,
      () => false,
    );
}

interface RsaKeyAlgorithm {
  modulusLength: number;
  /** Big-endian. */
  publicExponent: Uint8Array;
}

function isWeak({ algorithm }: CryptoKey): boolean {
  if (!('modulusLength' in algorithm)) return false;
  const { modulusLength, publicExponent } = algorithm as typeof algorithm & RsaKeyAlgorithm;
  return modulusLength < MIN_RSA_BITS || publicExponent.reduce((sum, byte) => sum * 256 + byte, 0) < MIN_RSA_EXPONENT;
}

/** Rejects where the JWK is none, or its key is too weak. */
export async function signatureCheck(jwk: JsonObject, alg: Algorithm, node: NodeCrypto | null): Promise<IsSigned> {
  const key = await importJWK(jwk, alg);
  if (key instanceof Uint8Array || isWeak(key)) throw new TypeError('no key for this algorithm');
  return (node && byNode(node, jwk, alg)) ?? byJose(key, alg);
}
