/** Tokens that were verified before: what is not done again, and what is. */
import t, { type Test } from 'tap';
import { createVerifiedTokens } from '../../src/verifier/verified.js';
import { bench, type Json } from '../support/verifier.js';

/** Of WebCrypto, which can be watched. */
const signatureChecks = (t: Test) => t.capture(crypto.subtle, 'verify', crypto.subtle.verify);

t.test('the second check of a token checks no signature, but its time', async (t) => {
  const { outcome, forge, world } = bench(t, {}, null);
  const calls = signatureChecks(t);
  const token = forge.token();
  for (let i = 0; i < 10; i++) t.equal(await outcome(token), 'accepted');
  t.equal(calls().length, 1);
  world.advance(904.999);
  t.equal(await outcome(token), 'accepted');
  world.advance(0.001);
  t.equal(await outcome(token), 'token_expired');
  t.equal(calls().length, 0, 'since the last look');
});

t.test('a token that was refused is not remembered, and one letter more is another token', async (t) => {
  const { outcome, forge } = bench(t);
  const token = forge.token();
  t.equal(await outcome(token), 'accepted');
  const [h = '', c = ''] = token.split('.');
  for (let i = 0; i < 2; i++) {
    t.equal(await outcome(`${token}A`), 'invalid_signature');
    t.equal(await outcome(`${h}.${c}.${'A'.repeat(342)}`), 'invalid_signature');
  }
});

t.test('claims are shared, so nobody can change them', async (t) => {
  const { verifier, forge } = bench(t);
  const token = forge.token({ claims: { act: { sub: 'eve' } } });
  const claims = await verifier.verify(token);
  t.same(claims, { ...forge.claims, act: { sub: 'eve' } });
  const changes: ((of: Json) => unknown)[] = [
    (of) => Object.assign(of, { sub: 'eve' }),
    (of) => (of.roles as string[]).push('admin'),
    (of) => Object.assign(of.act as Json, { sub: 'ada' }),
  ];
  for (const change of changes) t.throws(() => change(claims as Json), TypeError);
  t.equal(await verifier.verify(token), claims);
});

t.test('tokens are remembered within a bound, the newest of them', (t) => {
  const tokens = createVerifiedTokens<string>(3);
  for (const name of ['a', 'b', 'c', 'd', 'e']) tokens.set(name, name);
  t.same(
    ['a', 'b', 'c', 'd', 'e'].map((name) => tokens.get(name)),
    [undefined, undefined, 'c', 'd', 'e'],
  );
  t.end();
});

t.test('of two tokens that end alike one is never taken for the other', (t) => {
  const tokens = createVerifiedTokens<string>(3);
  const [one, other] = [`a.b.${'S'.repeat(342)}`, `a.c.${'S'.repeat(342)}`];
  tokens.set(one, 'one');
  t.equal(tokens.get(other), undefined);
  tokens.set(other, 'other');
  t.same([tokens.get(one), tokens.get(other)], [undefined, 'other']);
  t.end();
});
