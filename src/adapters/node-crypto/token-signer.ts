/** Signatures of JWS (RFC 7518 §3, RFC 8037) with the keys in this process, computed on libuv's threads. */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  type SignKeyObjectInput,
  sign,
  verify,
} from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose';
import type { SigningAlg } from '../../domain/types.js';
import type { TokenSigner, VerifySignature } from '../../ports/token-signer.js';

/** RFC 7518 §3.3 asks for at least 2048 bits; more would double the cost of each refresh. */
const RSA_BITS = 2048;
/** What PKCS #8 begins with. */
const DER_SEQUENCE = 0x30;

interface Scheme {
  digest: string | null;
  options: Omit<SignKeyObjectInput, 'key'>;
}

const schemes: Record<SigningAlg, Scheme> = {
  RS256: { digest: 'sha256', options: { padding: constants.RSA_PKCS1_PADDING } },
  PS256: {
    digest: 'sha256',
    options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
  },
  ES256: { digest: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  EdDSA: { digest: null, options: {} },
};

const generate = promisify(generateKeyPair);

function generatePair(alg: SigningAlg): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  if (alg === 'ES256') return generate('ec', { namedCurve: 'P-256' });
  if (alg === 'EdDSA') return generate('ed25519', undefined);
  return generate('rsa', { modulusLength: RSA_BITS });
}

/** The material is PKCS #8 DER. */
export const nodeTokenSigner: TokenSigner = {
  async generate(alg) {
    const { publicKey, privateKey } = await generatePair(alg);
    return {
      publicJwk: await exportJWK(publicKey),
      material: privateKey.export({ type: 'pkcs8', format: 'der' }),
    };
  },
  owns: (material) => material[0] === DER_SEQUENCE,
  async open(alg, material) {
    const key = createPrivateKey({ key: Buffer.from(material), format: 'der', type: 'pkcs8' });
    const { digest, options } = schemes[alg];
    return {
      sign: (signingInput) =>
        new Promise((resolve, reject) => {
          sign(digest, signingInput, { key, ...options }, (error, signature) =>
            error === null ? resolve(signature) : reject(error),
          );
        }),
      available: () => true,
    };
  },
  // The material is all that there is of the key.
  async destroy() {},
};

const publicKeys = new WeakMap<JWK, KeyObject>();

function publicKeyOf(jwk: JWK): KeyObject {
  const known = publicKeys.get(jwk);
  if (known !== undefined) return known;
  const key = createPublicKey({ key: jwk as Parameters<typeof createPublicKey>[0] & object, format: 'jwk' } as never);
  publicKeys.set(jwk, key);
  return key;
}

/** About 60 µs for RSA-2048, less than a trip to another thread. */
export const verifySignature: VerifySignature = async (alg, publicJwk, signingInput, signature) => {
  const { digest, options } = schemes[alg];
  return verify(digest, signingInput, { key: publicKeyOf(publicJwk), ...options }, signature);
};

export const thumbprint = (publicJwk: JWK): Promise<string> => calculateJwkThumbprint(publicJwk);
