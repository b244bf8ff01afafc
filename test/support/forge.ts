/** Access tokens as an attacker would make them, or the service itself if it went wrong. */
import { constants, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { toBase64url } from '../../src/domain/base64url.js';
import { openPrivateKey } from '../../src/domain/sealing.js';
import type { KekSource } from '../../src/ports/kek-source.js';
import { parseStrictJson } from '../../src/verifier/strict-json.js';
import { noteSecret } from './run-log.js';
import { rowOf, type TestService } from './service.js';

type Json = Record<string, unknown>;
export type Signer = (signingInput: Buffer) => Uint8Array;

export const rs256 =
  (key: KeyObject): Signer =>
  (input) =>
    sign('sha256', input, key);

export const ps256 =
  (key: KeyObject): Signer =>
  (input) =>
    sign('sha256', input, {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    });

/** What a token is made of; whatever is left out is as in a genuine token. */
export interface Parts {
  /** Over the genuine header; a member that is undefined is left out. */
  header?: Json;
  claims?: Json;
  /** The bytes of the part, instead of an object. */
  headerBytes?: string | Uint8Array;
  claimsBytes?: string | Uint8Array;
  /** The spelling of the part, instead of base64url of its bytes. */
  spell?: {
    header?: (part: string) => string;
    claims?: (part: string) => string;
    signature?: (part: string) => string;
  };
  signer?: Signer;
}

export interface Forge {
  kid: string;
  publicJwk: Json;
  privateKey: KeyObject;
  header: Json;
  claims: Json;
  /** Signed with the service's own key, so that nothing but what was changed can be the reason of a refusal. */
  token(parts?: Parts): string;
}

const partsOf = (token: string): Json[] =>
  token.split('.', 2).map((part) => parseStrictJson(new Uint8Array(Buffer.from(part, 'base64url'))) as Json);

/** `genuine` is a token of the service; `keks` are those it was started with. */
export async function createForge({ database }: TestService, keks: KekSource, genuine: string): Promise<Forge> {
  const row = await rowOf(database, 'signing_keys', `state = 'active'`);
  const kid = String(row.kid);
  const pkcs8 = openPrivateKey(new Uint8Array(row.sealed_private as Uint8Array), kid, keks.newest());
  if (pkcs8 === null) throw new Error('the signing key was sealed under another KEK');
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  const [header = {}, claims = {}] = partsOf(genuine);
  return forgeOf({ kid, publicJwk: row.public_jwk as Json, privateKey, header, claims });
}

/** With an RSA key whose tokens are RS256. */
export function forgeOf(from: Omit<Forge, 'token'>): Forge {
  const { privateKey, header, claims } = from;
  return {
    ...from,
    token(parts = {}) {
      const { spell = {}, signer = rs256(privateKey) } = parts;
      const same = (part: string) => part;
      const encode = (value: string | Uint8Array) => toBase64url(Buffer.from(value as string));
      const headerPart = (spell.header ?? same)(
        encode(parts.headerBytes ?? JSON.stringify({ ...header, ...parts.header })),
      );
      const claimsPart = (spell.claims ?? same)(
        encode(parts.claimsBytes ?? JSON.stringify({ ...claims, ...parts.claims })),
      );
      const signature = signer(Buffer.from(`${headerPart}.${claimsPart}`));
      const token = `${headerPart}.${claimsPart}.${(spell.signature ?? same)(toBase64url(signature))}`;
      noteSecret(token);
      return token;
    },
  };
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Another spelling of the same bytes: with bits set that decoders drop. The length must not be a multiple of 3 bytes. */
export function withStrayBits(part: string): string {
  if (part.length % 4 === 0) throw new Error('this part has no stray bits');
  const last = ALPHABET.indexOf(part.at(-1) ?? '');
  return part.slice(0, -1) + ALPHABET[last + 1];
}

/** JSON with as many blanks at its end as it takes for its base64url to have stray bits. */
export const jsonWithStrayBits = (value: Json): string => {
  const text = JSON.stringify(value);
  return Buffer.byteLength(text) % 3 === 0 ? `${text} ` : text;
};
