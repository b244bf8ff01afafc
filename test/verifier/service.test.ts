/** Tokens of the real service, verified with the keys that it publishes, through rotations and compromises. */
import t from 'tap';
import { byService } from '../../src/domain/audit.js';
import { createVerifierIn } from '../../src/verifier/verifier.js';
import { codeOf, ISSUER, startService } from '../support/service.js';
import { fakeWorld, outcomeOf } from '../support/verifier.js';

const service = await startService(t, { env: { SIGNING_ALG: 'EdDSA' } });
const { clock, get } = service;
const { signingKeys } = service.services;
const userId = await service.register();
await signingKeys.tend();

let fetched = 0;
const world = {
  ...fakeWorld(async (input) => {
    fetched++;
    const { body, statusCode, headers } = await get(new URL(String(input)).pathname);
    return new Response(body, { status: statusCode, headers: headers as Record<string, string> });
  }),
  now: () => clock.now(),
  monotonic: () => clock.monotonic(),
};
const options = { issuer: ISSUER, audience: 'api', algorithms: ['EdDSA'] } as const;
const verifier = createVerifierIn(world, options);
t.teardown(() => verifier.close());

t.test('a token of the service says who came, with what, and from where', async (t) => {
  const { access_token: token, session_id: sid, scope } = await service.login();
  const claims = await verifier.verify(token);
  const expected = { iss: ISSUER, sub: userId, aud: 'api', sid, scope, client_id: 'default', roles: [] };
  t.match(claims, { ...expected, jti: String, exp: claims.iat + 900 });
  t.equal(fetched, 1);
});

t.test('a token is refused by another audience, and by a verifier of other algorithms', async (t) => {
  const { access_token: token } = await service.login();
  for (const [changes, code] of [
    [{ audience: 'keyturn-admin' }, 'invalid_audience'],
    [{ algorithms: ['RS256', 'ES256', 'PS256'] as const }, 'unsupported_algorithm'],
  ] as const) {
    t.equal(await outcomeOf(createVerifierIn(world, { ...options, ...changes }).verify(token)), code);
  }
});

t.test('the service and the verifier refuse the same token in the same second', async (t) => {
  const { access_token: token } = await service.login();
  clock.advance(904.749);
  t.equal((await get('/v1/me', token)).statusCode, 200);
  t.equal(await outcomeOf(verifier.verify(token)), 'accepted');
  clock.advance(0.001);
  t.equal(codeOf(await get('/v1/me', token)), 'token_expired');
  t.equal(await outcomeOf(verifier.verify(token)), 'token_expired');
});

t.test('rotations cost no token, and no fetch but those that were due', async (t) => {
  for (let i = 0; i < 3; i++) {
    clock.advance(600);
    await verifier.verify((await service.login()).access_token);
    const { access_token: old } = await service.login();
    const before = fetched;
    await signingKeys.rotate(byService);
    const { access_token: next } = await service.login();
    for (const token of [old, next]) t.equal(await outcomeOf(verifier.verify(token)), 'accepted', `rotation ${i}`);
    t.equal(fetched, before, 'the next key was known already');
  }
});

t.test('tokens of a compromised key are refused when the keys are next looked at', async (t) => {
  const { access_token: token } = await service.login();
  t.equal(await outcomeOf(verifier.verify(token)), 'accepted');
  const [active] = (await signingKeys.list()).filter(({ state }) => state === 'active');
  await signingKeys.revoke(active?.kid ?? '', { compromised: true }, byService);
  clock.advance(300);
  t.equal(await outcomeOf(verifier.verify(token)), 'unknown_key');
  t.equal(await outcomeOf(verifier.verify((await service.login()).access_token)), 'accepted');
});
