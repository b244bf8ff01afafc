import t from 'tap';
import { createAccessTokenVerifier } from '../../src/domain/access-token.js';
import type { KeyRing, PublishedKey } from '../../src/domain/key-ring.js';
import { fakeClock } from '../support/clock.js';

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function arrange() {
  const clock = fakeClock();
  const now = Math.floor(clock.now() / 1000);
  let key: PublishedKey | null = { kid: 'k', alg: 'RS256', publicJwk: { kty: 'RSA' } };
  let isRight = true;
  let verifications = 0;
  const asked: string[] = [];
  const find = async (kid: string) => {
    asked.push(kid);
    return key;
  };
  const keys = { find, wasPublished: () => false } as unknown as KeyRing;
  const verify = createAccessTokenVerifier({
    issuer: 'i',
    keys,
    async verifySignature() {
      verifications++;
      return isRight;
    },
    clock,
  });
  const claims = { iss: 'i', sub: 's', aud: 'api', iat: now, exp: now + 900, jti: 'j' };
  const token = (more = {}, header = {}) =>
    `${part({ alg: 'RS256', kid: 'k', typ: 'at+jwt', ...header })}.${part({ ...claims, ...more })}.${part('signature')}`;
  return {
    clock,
    token,
    asked,
    verify: (text = token(), audience: string | null = 'api') => verify(text, { audience }),
    verifications: () => verifications,
    publish(next: PublishedKey | null, right = true) {
      key = next;
      isRight = right;
    },
  };
}

t.test('a token is verified once, and what it says is checked each time', async (t) => {
  const { clock, verify, verifications } = arrange();
  t.match(await verify(), { sub: 's' });
  t.match(await verify(), { sub: 's' });
  t.equal(verifications(), 1);
  await t.rejects(verify(undefined, 'other'), { code: 'invalid_audience' });
  clock.advance(906);
  await t.rejects(verify(), { code: 'token_expired' });
  t.equal(verifications(), 1);
});

t.test('a token that differs by anything is another one', async (t) => {
  const { token, verify, verifications } = arrange();
  await verify();
  await verify(token({ jti: 'k' }));
  t.equal(verifications(), 2);
  await t.rejects(verify(`${token()}=`), { code: 'token_malformed' });
});

t.test('a key that is withdrawn, or another one of its name, is the end of what was verified with it', async (t) => {
  const { verify, publish, verifications } = arrange();
  await verify();
  publish(null);
  await t.rejects(verify(), { code: 'unknown_key' });
  publish({ kid: 'k', alg: 'RS256', publicJwk: { kty: 'RSA', n: 'another' } }, false);
  await t.rejects(verify(), { code: 'invalid_signature' });
  t.equal(verifications(), 2);
});

t.test('each token is read by its own header, whatever was read before it', async (t) => {
  const { token, verify, asked } = arrange();
  for (const kid of ['k', 'l', 'l', 'k']) await verify(token({ jti: String(asked.length) }, { kid }));
  t.same(asked, ['k', 'l', 'l', 'k']);
  for (const [header, code] of [
    [{ typ: 'JWT' }, 'token_malformed'],
    [{ crit: ['exp'] }, 'token_malformed'],
    [{ kid: 1 }, 'token_malformed'],
    [{ alg: 'HS256' }, 'unsupported_algorithm'],
    [{ alg: 'PS256' }, 'unsupported_algorithm'],
  ] as const) {
    await verify(token({ jti: code }));
    for (let i = 0; i < 2; i++) await t.rejects(verify(token({}, header)), { code }, JSON.stringify(header));
  }
});

t.test('what is no good is not kept', async (t) => {
  const { token, verify, verifications, publish } = arrange();
  const expired = token({ exp: 1 });
  for (let i = 0; i < 2; i++) await t.rejects(verify(expired), { code: 'token_expired' });
  t.equal(verifications(), 2);
  publish({ kid: 'k', alg: 'RS256', publicJwk: {} }, false);
  for (let i = 0; i < 2; i++) await t.rejects(verify(), { code: 'invalid_signature' });
  t.equal(verifications(), 4);
});
