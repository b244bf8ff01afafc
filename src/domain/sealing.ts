/**
 * Private keys, or what a device finds them by, at rest: AES-256-GCM under a key-encryption key, with the `kid` and the
 * KEK's id as associated data, so that a sealed key can't be moved to another row. Layout: nonce (12) | ciphertext |
 * tag (16). A nonce is drawn for each sealing; a KEK seals a few keys a month, far from the 2^32 of NIST SP 800-38D §8.3.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Kek } from '../ports/kek-source.js';
import type { Random } from '../ports/random.js';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Unambiguous, since neither a thumbprint nor a KEK id has a blank in it. */
const associatedData = (kid: string, kekId: string) => Buffer.from(`keyturn signing key v1 ${kid} ${kekId}`);

export function sealPrivateKey(material: Uint8Array, kid: string, kek: Kek, random: Random): Uint8Array {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, kek.key, nonce).setAAD(associatedData(kid, kek.id));
  return Buffer.concat([nonce, cipher.update(material), cipher.final(), cipher.getAuthTag()]);
}

/** Null when the KEK is not the one it was sealed under, or the sealed bytes were changed. */
export function openPrivateKey(sealed: Uint8Array, kid: string, kek: Kek): Uint8Array | null {
  if (sealed.length <= NONCE_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv(CIPHER, kek.key, sealed.subarray(0, NONCE_BYTES))
    .setAAD(associatedData(kid, kek.id))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}
