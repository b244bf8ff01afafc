/** Where a key is, as a PKCS #11 URI (RFC 7512): the material of a key that is in a device. */
export interface Reference {
  /** The token's label. */
  token: string;
  /** CKA_ID. */
  id: Uint8Array;
}

const SCHEME = 'pkcs11:';
const FORM = /^pkcs11:token=([^;]+);id=((?:%[0-9a-f]{2})+);type=private$/;

export function formatReference({ token, id }: Reference): Uint8Array {
  const bytes = Array.from(id, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  return Buffer.from(`${SCHEME}token=${encodeURIComponent(token)};id=${bytes};type=private`);
}

/** What begins otherwise is another signer's. */
export const isReference = (material: Uint8Array): boolean =>
  Buffer.from(material.subarray(0, SCHEME.length)).toString('latin1') === SCHEME;

/** Throws when it is none of ours. */
export function parseReference(material: Uint8Array): Reference {
  const match = FORM.exec(Buffer.from(material).toString());
  const [, token, id] = match ?? [];
  if (token === undefined || id === undefined) throw new Error('this is no reference to a key in a device');
  return { token: decodeURIComponent(token), id: Buffer.from(id.replaceAll('%', ''), 'hex') };
}
