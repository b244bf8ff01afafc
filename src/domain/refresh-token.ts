/**
 * The refresh token and what is derived from it: `ktr_` + base64url(session id 16 | generation 4 | secret R 32 | tag 16).
 *
 * R(0) is random; each next one is derived, so that the service can answer a retry with the same successor though it
 * keeps no token: R(n+1) = HKDF-SHA-256(ikm R(n), salt rotation_salt, info "keyturn refresh v1" | session id | n+1).
 * The salt is only in the database and R(n) only with the client, so neither alone yields a usable token.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { parse as uuidBytes, stringify as uuidString } from 'uuid';
import { fromBase64url, toBase64url } from './base64url.js';
import type { SessionId, Sha256 } from './types.js';

/** Lets secret scanners find tokens that were leaked into code or logs. */
export const REFRESH_TOKEN_PREFIX = 'ktr_';
export const SECRET_BYTES = 32;
export const SALT_BYTES = 32;
export const FAMILY_KEY_BYTES = 32;
const ID_BYTES = 16;
const GENERATION_BYTES = 4;
const TAG_BYTES = 16;
const JTI_BYTES = 16;
/** What the store's counter holds: no session gets there, and a token that says so was never issued. */
const MAX_GENERATION = 2 ** 31 - 1;
const SIGNED_BYTES = ID_BYTES + GENERATION_BYTES + SECRET_BYTES;

/** A token as it was presented: well formed, and nothing more is known of it. */
export interface PresentedToken {
  sessionId: SessionId;
  generation: number;
  secret: Uint8Array;
  tag: Uint8Array;
  /** Everything before the tag: what the tag authenticates. */
  signed: Uint8Array;
}

export const sha256 = (data: Uint8Array | string): Sha256 => new Uint8Array(hash('sha256', data, 'buffer')) as Sha256;

/** Null for anything that is not the one canonical spelling of a token. */
export function parseRefreshToken(text: string): PresentedToken | null {
  if (!text.startsWith(REFRESH_TOKEN_PREFIX)) return null;
  const bytes = fromBase64url(text.slice(REFRESH_TOKEN_PREFIX.length));
  if (bytes === null || bytes.length !== SIGNED_BYTES + TAG_BYTES) return null;
  const sessionId = uuidFrom(bytes.subarray(0, ID_BYTES));
  const generation = new DataView(bytes.buffer, bytes.byteOffset).getUint32(ID_BYTES);
  if (sessionId === null || generation > MAX_GENERATION) return null;
  return {
    sessionId,
    generation,
    secret: bytes.subarray(ID_BYTES + GENERATION_BYTES, SIGNED_BYTES),
    tag: bytes.subarray(SIGNED_BYTES),
    signed: bytes.subarray(0, SIGNED_BYTES),
  };
}

function uuidFrom(bytes: Uint8Array): SessionId | null {
  try {
    return uuidString(bytes) as SessionId;
  } catch {
    return null;
  }
}

const uint32 = (n: number): Uint8Array => {
  const bytes = new Uint8Array(GENERATION_BYTES);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
};

const tagOf = (familyKey: Uint8Array, signed: Uint8Array): Uint8Array =>
  createHmac('sha256', familyKey).update(signed).digest().subarray(0, TAG_BYTES);

export function formatRefreshToken(
  sessionId: SessionId,
  generation: number,
  secret: Uint8Array,
  familyKey: Uint8Array,
): string {
  const signed = Buffer.concat([uuidBytes(sessionId), uint32(generation), secret]);
  return REFRESH_TOKEN_PREFIX + toBase64url(Buffer.concat([signed, tagOf(familyKey, signed)]));
}

/** Whether this service once issued the token to this session, however long ago. */
export const isGenuine = (token: PresentedToken, familyKey: Uint8Array): boolean =>
  timingSafeEqual(token.tag, tagOf(familyKey, token.signed));

export const isSecretOf = (token: PresentedToken, hash: Sha256 | null): boolean =>
  hash !== null && timingSafeEqual(sha256(token.secret), hash);

const FIRST_BLOCK = Uint8Array.of(1);

/** HKDF-SHA-256 (RFC 5869) where one block is enough. Node's own takes three times as long. */
function hkdf(secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const pseudorandomKey = createHmac('sha256', salt).update(secret).digest();
  const block = createHmac('sha256', pseudorandomKey).update(info).update(FIRST_BLOCK).digest();
  return new Uint8Array(block.subarray(0, length));
}

function derive(
  label: string,
  secret: Uint8Array,
  salt: Uint8Array,
  id: SessionId,
  generation: number,
  length: number,
) {
  const info = Buffer.concat([Buffer.from(label), uuidBytes(id), uint32(generation)]);
  return hkdf(secret, salt, info, length);
}

/** R(n+1) from R(n), where `generation` is n+1. */
export const nextSecret = (secret: Uint8Array, salt: Uint8Array, id: SessionId, generation: number): Uint8Array =>
  derive('keyturn refresh v1', secret, salt, id, generation, SECRET_BYTES);

/** The `jti` of the access token that goes with a generation; the same however often the answer is repeated. */
export const jtiOf = (secret: Uint8Array, salt: Uint8Array, id: SessionId, generation: number): string =>
  toBase64url(derive('keyturn jti v1', secret, salt, id, generation, JTI_BYTES));
