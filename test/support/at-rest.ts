/** What a thief finds in a dump of the database, of Redis and of the logs, and the simple things he can make of it. */
import { createHash, createPrivateKey, type KeyObject, randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { formatRefreshToken, nextSecret } from '../../src/domain/refresh-token.js';
import { openPrivateKey } from '../../src/domain/sealing.js';
import type { SessionId } from '../../src/domain/types.js';

export type Row = Record<string, string | null>;

const unescaped = (field: string): string | null =>
  field === '\\N'
    ? null
    : field.replace(
        /\\([\\btnrfv])/g,
        (_, c: string) => ({ b: '\b', t: '\t', n: '\n', r: '\r', f: '\f', v: '\v' })[c] ?? c,
      );

/** The bytes of a column. */
export const bytea = (field: string | null | undefined): Buffer => Buffer.from(field?.slice(2) ?? '', 'hex');

/** The rows of a plain-text dump, by table. */
export function rowsOfDump(dump: string): Record<string, Row[]> {
  const tables: Record<string, Row[]> = {};
  for (const [, table = '', columns = '', data = ''] of dump.matchAll(
    /^COPY public\.(\w+) \((.+)\) FROM stdin;\n([\s\S]*?)^\\\.$/gm,
  )) {
    const names = columns.split(', ');
    tables[table] = data
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => Object.fromEntries(line.split('\t').map((field, n) => [names[n] ?? '', unescaped(field)])));
  }
  return tables;
}

/** Every key of a Redis, with its value as it is serialised and as its type is read. */
export async function dumpRedis(url: string): Promise<string[]> {
  const redis = new Redis(url);
  const found: string[] = [];
  try {
    for (const key of await redis.keys('*')) {
      const type = await redis.type(key);
      const readers: Record<string, () => Promise<unknown>> = {
        string: () => redis.get(key),
        hash: () => redis.hgetall(key),
        list: () => redis.lrange(key, 0, -1),
        set: () => redis.smembers(key),
        zset: () => redis.zrange(key, '0', '-1', 'WITHSCORES'),
        stream: () => redis.xrange(key, '-', '+'),
      };
      const read = readers[type];
      if (read === undefined) throw new Error(`there is no reader for a Redis ${type}`);
      const serialised = await redis.dumpBuffer(key);
      found.push(key, JSON.stringify(await read()), serialised?.toString('latin1') ?? '');
    }
    return found;
  } finally {
    redis.disconnect();
  }
}

function* leaves(value: unknown): Generator<string> {
  if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      yield name;
      yield* leaves(member);
    }
  } else if (value !== null) yield String(value);
}

function* parts(text: string): Generator<string> {
  yield text;
  try {
    yield* leaves(JSON.parse(text));
  } catch {
    // Not JSON.
  }
  // Whatever may be a value within a text: arrays, addresses with a query, PHC strings, messages.
  for (const word of text.match(/[\w+/=.~:-]{8,}/g) ?? []) yield word;
  for (const word of text.match(/[\w+/-]{16,}/g) ?? []) yield word;
}

/** Every value there is: each text as a whole, the members of JSON, and what stands by itself within. */
export const valuesOf = (texts: Iterable<string>): string[] => [
  ...new Set([...texts].flatMap((text) => [...parts(text)]).filter((value) => value !== '')),
];

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** What is no secret even to the most generous eye: short, a number, an instant. */
const isTrivial = (value: string): boolean => value.length < 16 || /^\d{4}-\d\d-\d\d[ T][\d:.]+/.test(value);

/** The bytes that a text may stand for. */
export function bytesOf(text: string): Buffer[] {
  if (isTrivial(text)) return [];
  const hex = text.replace(/^\\x/, '').replaceAll('-', '');
  const readings = [Buffer.from(text)];
  if (/^([0-9a-f]{2})+$/i.test(hex)) readings.push(Buffer.from(hex, 'hex'));
  if (/^[\w+/-]+={0,2}$/.test(text)) readings.push(Buffer.from(text, 'base64'));
  return readings;
}

const unique = (all: readonly Buffer[]): Buffer[] => [
  ...new Map(all.map((bytes) => [bytes.toString('latin1'), bytes])).values(),
];

/** The bytes that the values stand for, and what is simply made of them. */
export const derivedFrom = (values: readonly string[]): Buffer[] =>
  unique(values.flatMap(bytesOf).flatMap((bytes) => [bytes, sha256(bytes), bytes.subarray(0, 32)]));

/** The values that stand for 32 bytes: hashes, salts, keys. */
export const keysAmong = (values: readonly string[]): Buffer[] =>
  unique(values.flatMap(bytesOf).filter(({ length }) => length === 32));

/** The private key that a sealed one turns out to be under one of these KEKs. */
export function unsealed(
  { sealed_private: sealed, kid, kek_id: id }: Row,
  keks: readonly Uint8Array[],
): KeyObject | null {
  for (const key of keks) {
    const pkcs8 = openPrivateKey(bytea(sealed), kid ?? '', { id: id ?? '', key });
    if (pkcs8 !== null) return privateKeyFrom(Buffer.from(pkcs8));
  }
  return null;
}

/** The private key that a value is, as text or bytes, in any of the usual forms. */
export function privateKeyFrom(value: Buffer): KeyObject | null {
  const attempts = [
    () => createPrivateKey(value.toString()),
    () => createPrivateKey({ key: JSON.parse(value.toString()), format: 'jwk' }),
    ...(['pkcs8', 'pkcs1', 'sec1'] as const).map((type) => () => createPrivateKey({ key: value, format: 'der', type })),
  ];
  for (const attempt of attempts) {
    try {
      return attempt();
    } catch {
      // Not in this form.
    }
  }
  return null;
}

/**
 * Refresh tokens as somebody makes them who has the row and has read how they are made. The family key is in the row, so
 * the tag is right; the secret is a guess, taken as it is, hashed, and derived as the service derives the next one.
 */
export function refreshTokensFrom(row: Row, guesses: readonly Buffer[]): string[] {
  const id = row.id as SessionId;
  const salt = bytea(row.rotation_salt);
  const current = Number(row.generation);
  return [current - 1, current, current + 1]
    .filter((generation) => generation >= 0)
    .flatMap((generation) =>
      guesses
        .flatMap((guess) => [guess, sha256(guess), nextSecret(guess, salt, id, generation)])
        .map((secret) => formatRefreshToken(id, generation, secret, bytea(row.family_key))),
    );
}

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** An access token of a session, as good as its signature. */
export function accessTokenFor(row: Row, header: object, iss: string, signer: (input: string) => Buffer): string {
  const iat = Math.floor(Date.now() / 1000);
  const { user_id: sub, audience: aud, id: sid, client_id, scope } = row;
  const claims = { iss, sub, aud, iat, nbf: iat, exp: iat + 900, jti: randomUUID(), sid, client_id, scope, roles: [] };
  const input = `${encode({ typ: 'at+jwt', ...header })}.${encode(claims)}`;
  return `${input}.${signer(input).toString('base64url')}`;
}
