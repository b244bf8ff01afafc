/** Which of the issuer's keys count, and for which algorithm. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import t from 'tap';
import { type NodeCrypto, nodeCrypto } from '../../src/verifier/signature.js';
import { bench, claimsAt, forgeWith, NOW, outcomeOf, rsaKey } from '../support/verifier.js';

const later = rsaKey('key-2');
const tokenOf = (key = later) => forgeWith(key, { exp: NOW + 86_400 }).token();

t.test('an answer that is no JWKS is none', async (t) => {
  const huge = `{"keys":[],"x":"${'x'.repeat(262_144)}"}`;
  const broken = new ReadableStream({ start: (controller) => controller.error(new Error('cut off')) });
  for (const [name, answer] of [
    ['no JSON', new Response('<html>')],
    ['an empty body', new Response('')],
    ['no object', new Response('[]')],
    ['no keys', new Response('{}')],
    ['keys that are no list', new Response('{"keys":{}}')],
    ['a huge one', new Response(huge)],
    ['one that breaks off', new Response(broken)],
    ['nothing', new Response(null, { status: 204 })],
    ['a refusal', new Response('{"keys":[]}', { status: 404 })],
  ] as const) {
    const { outcome, jwks, forge } = bench(t);
    jwks.answer = () => answer;
    t.equal(await outcome(forge.token()), 'keys_unavailable', name);
  }
});

t.test('a key that is not for verifying with the algorithms asked for is none', async (t) => {
  const { key, jwks, forge, another } = bench(t);
  const jwk = key.publicJwk;
  const weak = rsaKey(key.kid, 1024);
  const { d } = weak.privateKey.export({ format: 'jwk' });
  const cases: [string, unknown, string][] = [
    ['for encryption', { ...jwk, use: 'enc' }, 'unknown_key'],
    ['for signing', { ...jwk, key_ops: ['sign'] }, 'unknown_key'],
    ['of another algorithm', { ...jwk, alg: 'RS512' }, 'unknown_key'],
    ['of an algorithm that is not asked for', { ...jwk, alg: 'PS256' }, 'unknown_key'],
    ['without an algorithm', { ...jwk, alg: undefined }, 'unknown_key'],
    ['of another type', { ...jwk, kty: 'EC' }, 'unknown_key'],
    ['symmetric', { kty: 'oct', k: jwk.n, kid: key.kid, alg: 'RS256' }, 'unknown_key'],
    ['without a name', { ...jwk, kid: undefined }, 'unknown_key'],
    ['broken', { ...jwk, n: '*' }, 'unknown_key'],
    ['too short', weak.publicJwk, 'unknown_key'],
    ['with an exponent of 1', { ...jwk, e: 'AQ' }, 'unknown_key'],
    ['with an exponent of 1 after zeros', { ...jwk, e: 'AAAB' }, 'unknown_key'],
    ['no object', 'key', 'unknown_key'],
    ['for verifying', { ...jwk, use: undefined, key_ops: ['verify'] }, 'accepted'],
    ['with members that nobody uses', { ...jwk, d, x5u: 'https://evil.example', x: 1 }, 'accepted'],
  ];
  for (const [name, published, expected] of cases) {
    jwks.keys = [published];
    t.equal(await outcomeOf(another().verify(forge.token())), expected, name);
    jwks.keys = [null, published, later.publicJwk];
    t.equal(await outcomeOf(another().verify(tokenOf())), 'accepted', `${name}: the others are used`);
  }
  jwks.keys = [jwk, { ...later.publicJwk, kid: key.kid }];
  t.equal(await outcomeOf(another().verify(forge.token())), 'accepted', 'of two with one name the first');
});

t.test('the algorithm is the key’s, also among several that are accepted', async (t) => {
  const { forge, another } = bench(t, { algorithms: ['PS256', 'RS256'] });
  t.equal(await outcomeOf(another().verify(forge.token())), 'accepted');
  t.equal(await outcomeOf(another().verify(forge.token({ header: { alg: 'PS256' } }))), 'unsupported_algorithm');
  t.equal(await outcomeOf(another({ algorithms: ['ES256'] }).verify(forge.token())), 'unsupported_algorithm');
});

t.test('each algorithm that Keyturn may sign with verifies', async (t) => {
  const byNode = bench(t);
  const elsewhere = bench(t, {}, null);
  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA'] as const) {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    const token = await new SignJWT(claimsAt(NOW))
      .setProtectedHeader({ alg, kid: alg, typ: 'at+jwt' })
      .sign(privateKey);
    const keys = [{ ...(await exportJWK(publicKey)), kid: alg, alg, use: 'sig' }];
    const [h = '', c = '', s = ''] = token.split('.');
    const turned = Buffer.from(s, 'base64url').reverse().toString('base64url');
    for (const { jwks, another } of [byNode, elsewhere]) {
      jwks.keys = keys;
      t.equal(await outcomeOf(another({ algorithms: [alg] }).verify(token)), 'accepted', alg);
      t.equal(await outcomeOf(another({ algorithms: [alg] }).verify(`${h}.${c}.${turned}`)), 'invalid_signature', alg);
    }
  }
});

t.test('where Node’s own crypto is there in part the signatures are checked all the same', async (t) => {
  const whole = nodeCrypto();
  if (whole === null) throw new Error('there is none of it');
  const notImplemented = () => {
    throw new Error('not implemented');
  };
  const parts: [string, NodeCrypto][] = [
    ['createPublicKey', { ...whole, createPublicKey: notImplemented }],
    ['verify', { ...whole, verify: notImplemented }],
    ['constants', { ...whole, constants: undefined as never }],
  ];
  for (const [missing, part] of parts) {
    const { outcome, forge } = bench(t, {}, part);
    t.equal(await outcome(forge.token()), 'accepted', `without ${missing}`);
    t.equal(await outcome(`${forge.token().slice(0, -4)}AAAA`), 'invalid_signature', `without ${missing}`);
  }
});
