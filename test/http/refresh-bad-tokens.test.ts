/** Refresh tokens that are almost right: every one is refused alike, and no session notices. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import t from 'tap';
import { formatRefreshToken } from '../../src/domain/refresh-token.js';
import type { SessionId } from '../../src/domain/types.js';
import { isProblem } from '../support/answers.js';
import { fastDatabase } from '../support/databases.js';
import { rowOf, startService, type Tokens } from '../support/service.js';
import { presented } from '../support/sessions.js';
import { everyTable } from './bad-requests-database.js';

const PREFIX = 'ktr_';
const service = await startService(t, { database: await fastDatabase(t) });
const { app, clock, database } = service;
await service.register();
await service.register('eve@example.com');

const bytesOf = (token: string): Buffer => Buffer.from(token.slice(PREFIX.length), 'base64url');
const textOf = (bytes: Uint8Array): string => PREFIX + Buffer.from(bytes).toString('base64url');

/** The tokens of a session's generations, the current one last, all of them past the leeway. */
async function chainOf(login: Tokens, length: number): Promise<string[]> {
  const tokens = [login.refresh_token];
  while (tokens.length < length) {
    const answer = await service.refresh(tokens.at(-1) ?? '', `key-${tokens.length}`);
    tokens.push(answer.json().refresh_token);
  }
  return tokens;
}

const tokens = await chainOf(await service.login(), 7);
const [oldest = '', , , , older = '', previous = '', current = ''] = tokens;
const foreign = (await service.login('eve@example.com')).refresh_token;
const genuine = { current, previous, older, 'forgotten by the row': oldest };
clock.advance(60);

const before = await everyTable(database);

type Answer = Awaited<ReturnType<typeof app.inject>>;
const post = (url: string, payload: string, headers: Record<string, string>): Promise<Answer> =>
  app.inject({ method: 'POST', url, payload, headers });
const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const refresh = (token: string, headers = {}) =>
  post('/v1/refresh', JSON.stringify({ refresh_token: token }), { ...json, ...headers });
const oauthRefresh = (token: string) =>
  post('/oauth/token', String(new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token })), form);
const logout = (token: string) => post('/v1/logout', JSON.stringify({ refresh_token: token }), json);

/** What was not refused as a bad token is, at `/v1/refresh`. */
async function taken(bad: readonly string[], headers = {}): Promise<string[]> {
  const odd: string[] = [];
  for (const token of bad) {
    const { statusCode, body } = await refresh(token, headers);
    if (statusCode !== 401 || !body.includes('"invalid_refresh_token"')) odd.push(`${token}: ${statusCode} ${body}`);
  }
  return odd;
}

function bitFlips(token: string): string[] {
  const bytes = bytesOf(token);
  return Array.from({ length: bytes.length * 8 }, (_, bit) =>
    textOf(bytes.map((byte, n) => (n === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))),
  );
}

for (const [name, token] of Object.entries({ current, previous, older })) {
  t.test(`a token that is ${name}, with any one bit flipped, is refused`, async (t) => {
    const flips = bitFlips(token);
    t.equal(flips.length, 68 * 8);
    // With the key that the true token was used up with, which would get its answer again.
    const key = { 'idempotency-key': `key-${presented(token).generation + 1}` };
    t.same(await taken(flips, key), []);
  });
}

const truncations = (token: string) => Array.from({ length: token.length }, (_, length) => token.slice(0, length));

function* extensions(token: string): Generator<string> {
  const bytes = bytesOf(token);
  for (const more of ['A', 'AA', 'AAA', 'AAAA', '.', '=', token, 'A'.repeat(8000)]) yield token + more;
  for (const length of [1, 2, 3, 16, 32, 1000]) {
    const zeros = Buffer.alloc(length);
    yield textOf(Buffer.concat([bytes, zeros]));
    yield textOf(Buffer.concat([zeros, bytes]));
    yield textOf(Buffer.concat([bytes.subarray(0, 52), zeros, bytes.subarray(52)]));
  }
}

t.test('a token that is shorter or longer is refused, down to nothing at all', async (t) => {
  for (const [name, token] of Object.entries(genuine)) {
    t.same(await taken(truncations(token)), [], `${name}, truncated`);
    t.same(await taken([...extensions(token)]), [], `${name}, extended`);
  }
});

const BLANKS = [' ', '\t', '\n', '\r\n', '\0', '\u00a0', '\u200b', '\ufeff'];

/** Other spellings of the same 68 bytes, of which a lax decoder would take one or another. */
function* reencodings(token: string): Generator<string> {
  const bytes = bytesOf(token);
  const body = token.slice(PREFIX.length);
  yield `${token}=`;
  yield PREFIX + bytes.toString('base64');
  yield PREFIX + [...Buffer.from(body)].map((byte) => `%${byte.toString(16)}`).join('');
  for (const encoding of ['hex', 'latin1'] as const) yield PREFIX + bytes.toString(encoding);
  yield PREFIX + Buffer.from(body).toString('base64url');
  yield Buffer.from(token).toString('base64url');
  // 68 bytes leave two bits of the last character unused.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (const bits of [1, 2, 3]) yield token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') ^ bits];
  for (const prefix of ['', 'KTR_', 'Ktr_', 'ktr-', 'ktr', 'kts_', 'ktr_ktr_', '%6btr_', 'Bearer ktr_', '\uff4btr_'])
    yield prefix + body;
  for (const text of [token.toUpperCase(), token.toLowerCase(), [...token].reverse().join('')]) yield text;
  for (const blank of BLANKS) {
    yield blank + token;
    yield token + blank;
    yield token.slice(0, 40) + blank + token.slice(40);
  }
  for (let at = 0; at < token.length; at++) {
    for (const character of ['+', '/', '=', '.', '%', 'é', token[at] === 'A' ? 'B' : 'A'])
      yield token.slice(0, at) + character + token.slice(at + 1);
  }
}

t.test('a token has no other spelling, and no character of it may be another', async (t) => {
  for (const [name, token] of Object.entries({ current, previous })) {
    const spellings = [...reencodings(token)];
    t.notOk(spellings.includes(token));
    t.same(await taken(spellings), [], name);
  }
});

const withTag = (signed: Uint8Array, tag: Uint8Array): string => textOf(Buffer.concat([signed, tag.subarray(0, 16)]));

/** Tags by everybody who does not have the family key, for tokens that would be genuine with the right one. */
function* forgedTags(): Generator<string> {
  const secrets = Object.values(genuine).map((token) => presented(token));
  for (const { signed, secret, tag } of secrets) {
    const hmac = (key: Uint8Array | string, algorithm = 'sha256') => createHmac(algorithm, key).update(signed).digest();
    for (const key of [secret, tag, signed.subarray(0, 16), Buffer.alloc(32), 'keyturn', randomBytes(32)]) {
      yield withTag(signed, hmac(key));
      yield withTag(signed, hmac(key, 'sha512'));
    }
    yield withTag(signed, createHash('sha256').update(signed).digest());
    for (const byte of [0, 255]) yield withTag(signed, Buffer.alloc(16, byte));
    for (const other of secrets) if (other.tag !== tag) yield withTag(signed, other.tag);
    yield withTag(signed, presented(foreign).tag);
  }
}

t.test('a forged tag is refused', async (t) => {
  t.same(await taken([...forgedTags()]), []);
});

/** The parts of a token: session id, generation, secret, tag. */
const CUTS = [0, 16, 20, 52, 68];

function* crossings(a: Buffer, b: Buffer): Generator<string> {
  // All ways to take each of the four parts from one or the other, but for the two whole tokens.
  for (let mask = 1; mask < 15; mask++) {
    const parts = [0, 1, 2, 3].map((n) => ((mask >> n) & 1 ? b : a).subarray(CUTS[n], CUTS[n + 1]));
    const crossed = Buffer.concat(parts);
    if (!crossed.equals(a) && !crossed.equals(b)) yield textOf(crossed);
  }
}

t.test('a foreign session id, or any mixture of two genuine tokens, is refused', async (t) => {
  const all = [...Object.values(genuine), foreign].map(bytesOf);
  const mixed = all.flatMap((a, n) => all.slice(n + 1).flatMap((b) => [...crossings(a, b)]));
  t.ok(mixed.length > 100);
  t.same(await taken(mixed), []);
  const unknown = textOf(
    Buffer.concat([presented(current).signed.map((byte, n) => (n < 16 ? 7 : byte)), Buffer.alloc(16)]),
  );
  t.same(await taken([unknown]), [], 'of a session that there is not');
});

t.test('a refresh token in the wrong type or place is refused by its form', async (t) => {
  for (const value of [null, 7, [current], { token: current }]) {
    const response = await post('/v1/refresh', JSON.stringify({ refresh_token: value }), json);
    isProblem(t, response, 400, 'invalid_request', JSON.stringify(value));
  }
});

const sample = [
  ...bitFlips(current).filter((_, bit) => bit % 37 === 0),
  ...bitFlips(older).filter((_, bit) => bit % 37 === 0),
  ...truncations(previous).slice(1),
  ...extensions(current),
  ...[...reencodings(current)].filter((_, n) => n % 5 === 0),
  ...forgedTags(),
];

t.test('the token endpoint calls every one of them an invalid grant', async (t) => {
  const odd = [];
  for (const token of sample) {
    const { statusCode, body } = await oauthRefresh(token);
    if (statusCode !== 400 || !body.includes('"invalid_grant"')) odd.push(`${token}: ${statusCode} ${body}`);
  }
  t.same(odd, []);
});

t.test('a logout with one of them says nothing and ends nothing', async (t) => {
  const odd = [];
  for (const token of ['', ...sample]) {
    const { statusCode, body } = await logout(token);
    if (statusCode !== 204) odd.push(`${token}: ${statusCode} ${body}`);
  }
  t.same(odd, []);
});

t.test('nothing at all has been written, and the true tokens are as good as before', async (t) => {
  t.same(await everyTable(database), before);
  t.equal((await refresh(previous, { 'idempotency-key': 'key-6' })).json().refresh_token, current);
  t.equal((await refresh(foreign)).statusCode, 200);
  t.equal((await refresh(current, { 'idempotency-key': 'key-7' })).statusCode, 200);
});

t.test('a wrong secret under a right tag, which takes the database, is refused and noted', async (t) => {
  const { session_id: id, refresh_token } = await service.login();
  const row = () => rowOf(database, 'sessions', `id = '${id}'`);
  const untouched = await row();
  const forged = formatRefreshToken(id as SessionId, 0, randomBytes(32), untouched.family_key as Uint8Array);
  isProblem(t, await refresh(forged), 401, 'invalid_refresh_token');
  t.equal((await logout(forged)).statusCode, 204);
  t.match(await rowOf(database, 'audit_events', `session_id = '${id}' AND outcome = 'failure'`), {
    event: 'refresh.secret_mismatch',
  });
  t.same(await row(), untouched);
  t.equal((await refresh(refresh_token)).statusCode, 200);
});
