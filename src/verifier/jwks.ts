/** Which keys of a JWKS (RFC 7517) may verify: those that say for what they are, and are as good as they say. */
import { type IsSigned, type NodeCrypto, signatureCheck } from './signature.js';
import { isObject, type JsonObject } from './strict-json.js';
import type { Algorithm } from './token.js';

export interface Key {
  readonly alg: Algorithm;
  /** What it is made of: two keys of one name are the same only if this is. */
  readonly material: string;
  readonly isSigned: IsSigned;
}

/** More than any rotation needs; bounds the work that a broken issuer can cause. */
const MAX_KEYS = 64;

/** The members that make a public key, by algorithm (RFC 7518 §6, RFC 8037 §2). Nothing else of a JWK is used. */
const shapes: Record<Algorithm, { fixed: Record<string, string>; members: readonly string[] }> = {
  RS256: { fixed: { kty: 'RSA' }, members: ['n', 'e'] },
  PS256: { fixed: { kty: 'RSA' }, members: ['n', 'e'] },
  ES256: { fixed: { kty: 'EC', crv: 'P-256' }, members: ['x', 'y'] },
  EdDSA: { fixed: { kty: 'OKP', crv: 'Ed25519' }, members: ['x'] },
};

const hasRightUse = ({ use, key_ops: operations }: JsonObject): boolean =>
  (use === undefined || use === 'sig') &&
  (operations === undefined || (Array.isArray(operations) && operations.includes('verify')));

async function readKey(
  jwk: JsonObject,
  alg: Algorithm,
  known: Key | undefined,
  crypto: NodeCrypto | null,
): Promise<Key | null> {
  const { fixed, members } = shapes[alg];
  if (!hasRightUse(jwk) || Object.entries(fixed).some(([name, value]) => jwk[name] !== value)) return null;
  const publicJwk = { ...fixed, ...Object.fromEntries(members.map((name) => [name, jwk[name]])) };
  const material = JSON.stringify([alg, publicJwk]);
  if (known?.material === material) return known;
  try {
    return Object.freeze({ alg, material, isSigned: await signatureCheck(publicJwk, alg, crypto) });
  } catch {
    return null;
  }
}

/**
 * The usable keys of a set, by `kid`; of two with one name the first. A key that is in `known` as it was stays the same
 * object, so that what it has verified can be told from what another of its name would have to verify anew.
 */
export async function readKeys(
  keys: readonly unknown[],
  algorithms: readonly Algorithm[],
  known: ReadonlyMap<string, Key>,
  crypto: NodeCrypto | null,
): Promise<Map<string, Key>> {
  const usable = new Map<string, Key>();
  for (const jwk of keys.slice(0, MAX_KEYS)) {
    if (!isObject(jwk) || typeof jwk.kid !== 'string' || usable.has(jwk.kid)) continue;
    const alg = algorithms.find((accepted) => accepted === jwk.alg);
    const key = alg && (await readKey(jwk, alg, known.get(jwk.kid), crypto));
    if (key) usable.set(jwk.kid, key);
  }
  return usable;
}
