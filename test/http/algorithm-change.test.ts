/** SIGNING_ALG is changed while tokens are out and verifiers hold on to the keys that they fetched. */
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import t from 'tap';
import { signingAlgs } from '../../src/domain/types.js';
import { fakeClock } from '../support/clock.js';
import { fastDatabase } from '../support/databases.js';
import { ISSUER, startService, type TestService, testKeks } from '../support/service.js';

/** `max-age` of the JWKS, and twice that, after which a published key may sign. Seconds. */
const MAX_AGE_S = 300;
const SEEN_S = 2 * MAX_AGE_S;

t.test('each change of the algorithm is a rotation that no verifier notices', async (t) => {
  const parts = { database: await fastDatabase(t), keks: testKeks(), clock: fakeClock() };
  const { clock } = parts;
  const withAlg = (alg: string) => startService(t, { ...parts, env: { SIGNING_ALG: alg } });
  const jwksOf = async ({ get }: TestService) => (await get('/.well-known/jwks.json')).json();
  const accepted = async (token: string, jwks: Parameters<typeof createLocalJWKSet>[0]) => {
    const currentDate = new Date(clock.now());
    await jwtVerify(token, createLocalJWKSet(jwks), { issuer: ISSUER, audience: 'api', typ: 'at+jwt', currentDate });
  };

  let node = await withAlg('EdDSA');
  await node.register();
  await node.services.signingKeys.tend();
  let signedWith = 'EdDSA';
  let token = (await node.login()).access_token;
  const known: boolean[] = [];
  for (const alg of signingAlgs) {
    // What a verifier fetched right before the change it keeps for as long as it may.
    const cached = await jwksOf(node);
    node = await withAlg(alg);
    await node.services.signingKeys.tend();
    const both = (await jwksOf(node)).keys.map((key: { alg: string }) => key.alg);
    t.ok(both.includes(alg) && both.includes(signedWith), `${signedWith} and ${alg} are both published`);
    const before = (await node.login()).access_token;
    // On the way back there is a key that has been published all the while.
    const isKnown = cached.keys.some((key: { alg: string }) => key.alg === alg);
    t.equal(decodeProtectedHeader(before).alg, isKnown ? alg : signedWith, `${alg} known: ${isKnown}`);
    known.push(isKnown);
    await accepted(before, cached);

    clock.advance(SEEN_S);
    const seen = await jwksOf(node);
    await node.services.signingKeys.tend();
    const after = (await node.login()).access_token;
    t.equal(decodeProtectedHeader(after).alg, alg);
    await accepted(after, seen);
    // A quarter of an hour is not over yet, and its key is published all the while.
    await accepted(before, await jwksOf(node));
    t.equal((await node.get('/v1/me', before)).statusCode, 200);
    t.equal((await node.get('/v1/me', after)).statusCode, 200);
    token = after;
    signedWith = alg;
    clock.advance(MAX_AGE_S);
  }
  await accepted(token, await jwksOf(node));
  t.same(known, [false, false, false, true]);
});
