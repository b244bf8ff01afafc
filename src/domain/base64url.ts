/** base64url as RFC 7515 §2 wants it: without padding, blanks or stray bits, so that a value has one spelling only. */

export const toBase64url = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');

/** Null unless `text` is the canonical spelling of some bytes. These may be a part of memory that others share. */
export function fromBase64url(text: string): Uint8Array | null {
  // Buffer skips what it does not understand, so the way back must give the same text.
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
