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
import { Refusal } from '../../domain/errors.js';
import type { SigningAlg } from '../../domain/types.js';
import type { DistinctSigner, VerifySignature } from '../../ports/token-signer.js';

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
export const nodeTokenSigner: DistinctSigner = {
  async generate(alg) {
    const { publicKey, privateKey } = await generatePair(alg);
    return {
      publicJwk: await exportJWK(publicKey),
      material: privateKey.export({ type: 'pkcs8', format: 'der' }),
    };
  },
  adopt: async (privatePkcs8) => privatePkcs8,
  owns: (material) => material[0] === DER_SEQUENCE,
  async open(alg, { material }) {
    const key = createPrivateKey({ key: Buffer.from(material), format: 'der', type: 'pkcs8' });
    const { digest, options } = schemes[alg];
    return {
      sign: (signingInput) =>
        new Promise((resolve, reject) => {
          sign(digest, signingInput, { key, ...options }, (error, signature) =>
            error === null ? resolve(signature) : reject(error),
          );
        }),
      problem: () => null,
      check() {},
    };
  },
  // The material is all that there is of the key.
  async destroy() {},
  held: async () => [],
};

/** What a key must be to sign with an algorithm (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1). */
const fits: Record<SigningAlg, (key: KeyObject) => boolean> = {
  RS256: isRsa,
  PS256: isRsa,
  ES256: (key) => key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1',
  EdDSA: (key) => key.asymmetricKeyType === 'ed25519',
};

function isRsa({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= RSA_BITS;
}

const needed: Record<SigningAlg, string> = {
  RS256: `an RSA key of at least ${RSA_BITS} bits`,
  PS256: `an RSA key of at least ${RSA_BITS} bits`,
  ES256: 'a P-256 key',
  EdDSA: 'an Ed25519 key',
};

/** A file with the halves of two pairs can be read, and nobody would accept a token that is signed with it. */
function belongTogether(alg: SigningAlg, key: KeyObject, publicKey: KeyObject): boolean {
  const { digest, options } = schemes[alg];
  const probe = Buffer.from('keyturn');
  try {
    return verify(digest, probe, { key: publicKey, ...options }, sign(digest, probe, { key, ...options }));
  } catch {
    return false;
  }
}

/** Reads a private key that was made elsewhere: PEM, not encrypted. Rejects with Refusal `key_rejected`, quoting nothing. */
export async function readPrivateKey(
  pem: string,
  alg: SigningAlg,
): Promise<{ publicJwk: JWK; privatePkcs8: Uint8Array }> {
  const rejected = (detail: string) => new Refusal('key_rejected', { detail });
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw rejected('Expected one private key in PEM, not encrypted');
  }
  if (!fits[alg](key)) throw rejected(`${alg} needs ${needed[alg]}`);
  const publicKey = createPublicKey(key);
  if (!belongTogether(alg, key, publicKey)) throw rejected('Its public part does not verify what it signs');
  return {
    publicJwk: await exportJWK(publicKey),
    privatePkcs8: key.export({ type: 'pkcs8', format: 'der' }),
  };
}

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
