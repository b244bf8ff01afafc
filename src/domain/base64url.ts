/** base64url as RFC 7515 §2 wants it: without padding, blanks or stray bits, so that a value has one spelling only. */
export { fromBase64url } from '../verifier/base64url.js';

export const toBase64url = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
