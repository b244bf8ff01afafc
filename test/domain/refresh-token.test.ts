import t from 'tap';
import {
  formatRefreshToken,
  isGenuine,
  isSecretOf,
  jtiOf,
  nextSecret,
  parseRefreshToken,
  sha256,
} from '../../src/domain/refresh-token.js';
import { presented, SESSION_ID } from '../support/sessions.js';

const secret = new Uint8Array(32).map((_, i) => i);
const salt = new Uint8Array(32).fill(9);
const familyKey = new Uint8Array(32).fill(3);
const token = formatRefreshToken(SESSION_ID, 7, secret, familyKey);

t.test('a token is read back as it was written', async (t) => {
  t.match(token, /^ktr_[A-Za-z0-9_-]{91}$/);
  const read = presented(token);
  t.equal(read.sessionId, SESSION_ID);
  t.equal(read.generation, 7);
  t.same(read.secret, secret);
  t.ok(isGenuine(read, familyKey));
  t.ok(isSecretOf(read, sha256(secret)));
  t.notOk(isSecretOf(read, null));
});

t.test('no change of a single bit leaves a token genuine or readable', async (t) => {
  const bytes = Buffer.from(token.slice(4), 'base64url');
  let refused = 0;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const read = parseRefreshToken(`ktr_${changed.toString('base64url')}`);
    if (read === null || !isGenuine(read, familyKey)) refused++;
  }
  t.equal(refused, 68 * 8);
});

t.test('a token has one spelling', async (t) => {
  const last = token.at(-1) ?? '';
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const strayBits = alphabet[alphabet.indexOf(last) | 1] ?? '';
  for (const odd of [
    '',
    'ktr_',
    token.slice(4),
    `KTR_${token.slice(4)}`,
    `${token}=`,
    `${token}A`,
    token.slice(0, -1),
    ` ${token}`,
    `${token}\n`,
    `${token.slice(0, -1)}+`,
    token.slice(0, -1) + strayBits,
  ]) {
    t.equal(parseRefreshToken(odd), null);
  }
});

t.test('a generation that the store cannot count is no token', async (t) => {
  const most = 2 ** 31 - 1;
  t.equal(presented(formatRefreshToken(SESSION_ID, most, secret, familyKey)).generation, most);
  t.equal(parseRefreshToken(formatRefreshToken(SESSION_ID, most + 1, secret, familyKey)), null);
});

t.test('each next secret depends on the one before, the salt, the session and the generation', async (t) => {
  const next = nextSecret(secret, salt, SESSION_ID, 8);
  t.equal(next.length, 32);
  t.same(nextSecret(secret, salt, SESSION_ID, 8), next, 'and on nothing else');
  const other = '01900000-0000-7000-8000-000000000009' as typeof SESSION_ID;
  for (const different of [
    nextSecret(salt, salt, SESSION_ID, 8),
    nextSecret(secret, secret, SESSION_ID, 8),
    nextSecret(secret, salt, other, 8),
    nextSecret(secret, salt, SESSION_ID, 9),
  ]) {
    t.notSame(different, next);
  }
});

t.test('the derivation is HKDF-SHA-256 as RFC 5869 defines it', async (t) => {
  // Made with another implementation: HKDF(ikm 00..1f, salt 09 * 32, info "keyturn refresh v1" | id | 00000008, 32).
  t.equal(
    Buffer.from(nextSecret(secret, salt, SESSION_ID, 8)).toString('hex'),
    '09f6bdb0fb0072d980fcbd300fa9cab8e507b02b88fe3a78bb48ea8542f3eb07',
  );
  t.equal(jtiOf(secret, salt, SESSION_ID, 8), 'cQ8B4UjFdCtNXXEhu1VVdA');
});
