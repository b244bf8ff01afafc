/**
 * Secrets at rest: AES-256-GCM under a key-encryption key, with what the secret is, whose, and the KEK's id as associated
 * data, so that what is sealed can't be moved to another row or table. Layout: nonce (12) | ciphertext | tag (16). A nonce
 * is drawn for each sealing; a KEK seals a few secrets a month, far from the 2^32 of NIST SP 800-38D §8.3.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Kek } from '../ports/kek-source.js';
import type { Random } from '../ports/random.js';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What is sealed: unambiguous, since neither a thumbprint, nor a UUID, nor a KEK's id has a blank in it. */
export type SealedThing = `signing key v1 ${string}` | `webhook secrets v1 ${string}`;

const associatedData = (thing: SealedThing, kekId: string) => Buffer.from(`keyturn ${thing} ${kekId}`);

export function seal(secret: Uint8Array, thing: SealedThing, kek: Kek, random: Random): Uint8Array {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, kek.key, nonce).setAAD(associatedData(thing, kek.id));
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

/** Null when the KEK is not the one it was sealed under, or the sealed bytes were changed. */
export function open(sealed: Uint8Array, thing: SealedThing, kek: Kek): Uint8Array | null {
  if (sealed.length <= NONCE_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv(CIPHER, kek.key, sealed.subarray(0, NONCE_BYTES))
    .setAAD(associatedData(thing, kek.id))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

/** Of a private key, or what a device finds it by. */
export const sealPrivateKey = (material: Uint8Array, kid: string, kek: Kek, random: Random): Uint8Array =>
  seal(material, `signing key v1 ${kid}`, kek, random);

export const openPrivateKey = (sealed: Uint8Array, kid: string, kek: Kek): Uint8Array | null =>
  open(sealed, `signing key v1 ${kid}`, kek);
