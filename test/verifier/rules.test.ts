/** Which tokens a revocation concerns, and for how long it is kept. */
import t from 'tap';
import { readRevocation } from '../../src/verifier/feed.js';
import { createRules } from '../../src/verifier/rules.js';
import type { AccessTokenClaims } from '../../src/verifier/token.js';
import { revocation } from '../support/revocation-feed.js';
import { claimsAt, type Json, NOW } from '../support/verifier.js';

const token = (changes: Json = {}) => claimsAt(NOW, changes) as unknown as AccessTokenClaims;
const ruled = (...revocations: Json[]) => {
  const rules = createRules();
  for (const one of revocations) rules.add(readRevocation(one), 0);
  return rules;
};

t.test('each kind concerns the tokens that it names, and no other', async (t) => {
  for (const [kind, value, hit, missed] of [
    ['jti', 'token-1', {}, { jti: 'token-2' }],
    ['sid', 'session-1', { jti: 'other' }, { sid: 'session-2' }],
    ['sid', 'session-1', {}, { sid: undefined }],
    ['sub', 'ada', {}, { sub: 'eve' }],
    ['client', 'app', {}, { client_id: 'other' }],
    ['client', 'app', {}, { client_id: undefined }],
    ['jti', '__proto__', { jti: '__proto__' }, {}],
    ['sub', 'constructor', { sub: 'constructor' }, {}],
  ] as const) {
    const rules = ruled(revocation(kind, value, NOW + 1));
    t.equal(rules.revokes(token(hit)), true, `${kind} ${value}`);
    t.equal(rules.revokes(token(missed)), false, `${kind} ${value}: another`);
  }
  t.equal(ruled(revocation('all', null, NOW + 1)).revokes(token()), true);
  t.equal(ruled().revokes(token()), false);
});

t.test('an instant concerns the tokens that were issued before it', async (t) => {
  for (const [kind, value] of [
    ['sub', 'ada'],
    ['client', 'app'],
    ['all', null],
  ] as const) {
    const rules = ruled(revocation(kind, value, NOW));
    t.equal(rules.revokes(token({ iat: NOW - 1 })), true, kind);
    t.equal(rules.revokes(token({ iat: NOW - 0.001 })), true, kind);
    t.equal(rules.revokes(token({ iat: NOW })), false, kind);
  }
});

t.test('an instant never moves backwards, in whatever order and however often it is heard of', async (t) => {
  for (const [kind, value] of [
    ['sub', 'ada'],
    ['client', 'app'],
    ['all', null],
  ] as const) {
    for (const times of [
      [0, 100, 50],
      [100, 0, 50],
      [100, 50, 100, 0],
    ]) {
      const rules = ruled(...times.map((at) => revocation(kind, value, NOW + at)));
      t.equal(rules.revokes(token({ iat: NOW + 99 })), true, `${kind} ${times}`);
      t.equal(rules.revokes(token({ iat: NOW + 100 })), false, `${kind} ${times}`);
    }
  }
});

t.test('a rule is kept until its last token has expired and five minutes more, and then forgotten', async (t) => {
  for (const [kind, value] of [
    ['jti', 'token-1'],
    ['sid', 'session-1'],
    ['sub', 'ada'],
    ['client', 'app'],
    ['all', null],
  ] as const) {
    const rules = createRules();
    const one = readRevocation(revocation(kind, value, NOW + 1));
    rules.add(one, 5_000);
    rules.add(one, 5_000);
    rules.sweep(1_204_999);
    t.equal(rules.revokes(token()), true, kind);
    rules.add(one, 10_000);
    rules.sweep(1_209_999);
    t.equal(rules.revokes(token()), true, `${kind}, heard of again`);
    rules.sweep(1_210_000);
    t.equal(rules.revokes(token()), false, `${kind}, expired`);
    t.equal(rules.size, 0);
  }
});

t.test('a rule whose dates make no sense is kept for a while all the same', async (t) => {
  const rules = ruled(revocation('jti', 'token-1', NOW, { expires_at: '1970-01-01T00:00:00Z' }));
  rules.sweep(299_999);
  t.equal(rules.revokes(token()), true);
});

t.test('a sweep is short, and the next one goes on', async (t) => {
  const rules = createRules();
  for (let i = 0; i < 12_000; i++) rules.add({ kind: 'jti', value: String(i), lifetime: 0 }, 0);
  const left: number[] = [];
  for (let i = 0; i < 3; i++) {
    rules.sweep(300_000);
    left.push(rules.size);
  }
  t.same(left, [7_000, 2_000, 0]);
});

t.test('when it is full nothing is forgotten that is alive', async (t) => {
  const rules = createRules(2);
  const add = (value: string, now = 0) => rules.add({ kind: 'sid', value, lifetime: 0 }, now);
  add('session-1');
  add('session-2');
  t.throws(() => add('session-3'), { message: /more than 2 live revocations/ });
  add('session-1', 1_000);
  t.equal(rules.revokes(token()), true);
  add('session-3', 300_000);
  t.equal(rules.revokes(token({ sid: 'session-2' })), false, 'it had expired');
  t.equal(rules.revokes(token()), true);
  t.equal(rules.size, 2);
});

t.test('what is not understood is refused', async (t) => {
  const good = revocation('sub', 'ada', NOW);
  for (const bad of [
    null,
    'text',
    [],
    {},
    { ...good, kind: 'galaxy' },
    { ...good, kind: '__proto__' },
    { ...good, value: null },
    { ...good, value: '' },
    { ...good, value: 7 },
    { ...good, not_before: null },
    { ...good, not_before: 'soon' },
    { ...good, not_before: NOW },
    { ...good, revoked_at: undefined },
    { ...good, expires_at: 'never' },
    revocation('jti', null, NOW),
    revocation('all', null, NOW, { not_before: null }),
  ]) {
    t.throws(() => readRevocation(bad), { name: 'HttpFailure' }, JSON.stringify(bad));
  }
});
