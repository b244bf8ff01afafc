/** What verifiers and clients see of the life of the signing keys. */
import { decodeProtectedHeader } from 'jose';
import t from 'tap';
import { byService } from '../../src/domain/audit.js';
import { codeOf, execute, PASSWORD, startService, testKeks } from '../support/service.js';

const SEEN_S = 600;
const options = { keks: testKeks(), env: { SIGNING_ALG: 'EdDSA' } };
const service = await startService(t, options);
const { clock, get } = service;
const { signingKeys } = service.services;
const jwks = async () => {
  const { headers, body, statusCode } = await get('/.well-known/jwks.json');
  t.equal(statusCode, 200);
  return { etag: String(headers.etag), body, kids: JSON.parse(body).keys.map(({ kid }: { kid: string }) => kid) };
};
const signerOf = (token: string) => decodeProtectedHeader(token).kid;
const stateOf = async (state: string) => (await signingKeys.list()).filter((key) => key.state === state);

await service.register();
await signingKeys.tend();
clock.advance(SEEN_S);

t.test(
  'a token outlives the rotation of its key, and the next one is signed by a key that was published before',
  async (t) => {
    const before = await jwks();
    const old = await service.login();
    await signingKeys.rotate(byService);
    const after = await jwks();
    t.same(after.kids.slice(0, 2), before.kids, 'a third is published, and none is gone');
    t.not(after.etag, before.etag);
    t.equal((await get('/v1/me', old.access_token)).statusCode, 200);
    const { access_token: next } = (await service.refresh(old.refresh_token)).json();
    t.not(signerOf(next), signerOf(old.access_token));
    t.ok(before.kids.includes(signerOf(next)));
    t.equal((await get('/v1/me', next)).statusCode, 200);
  },
);

t.test('a promotion alone changes nothing of what is published', async (t) => {
  const { kids, etag } = await jwks();
  const [pending] = await stateOf('pending');
  t.equal((await signingKeys.promote(pending?.kid ?? '', byService)).outcome, 'scheduled');
  t.equal((await jwks()).etag, etag);
  const headers = { 'if-none-match': etag };
  const answer = await service.call({ method: 'GET', url: '/.well-known/jwks.json', headers });
  t.equal(answer.statusCode, 304);
  clock.advance(SEEN_S);
  await signingKeys.tend();
  const { access_token: token } = await service.login();
  t.ok(kids.includes(signerOf(token)));
});

t.test('a lost answer is given again with the same refresh token, whoever signs by then', async (t) => {
  const { refresh_token: token } = await service.login();
  const first = (await service.refresh(token, 'k1')).json();
  clock.advance(SEEN_S);
  await signingKeys.rotate(byService);
  const again = (await service.refresh(token, 'k1')).json();
  t.equal(again.refresh_token, first.refresh_token);
  t.not(signerOf(again.access_token), signerOf(first.access_token));
  t.equal((await get('/v1/me', again.access_token)).statusCode, 200);
});

t.test('a key that is retired is no longer published, and none of its tokens is left by then', async (t) => {
  const { access_token: token, expires_in: life } = await service.login();
  clock.advance(SEEN_S);
  await signingKeys.rotate(byService);
  clock.advance(life - SEEN_S - 1);
  await signingKeys.tend();
  t.equal((await get('/v1/me', token)).statusCode, 200, 'a second before its end');
  clock.advance(1 + SEEN_S + 60 + SEEN_S);
  await signingKeys.tend();
  t.notOk((await jwks()).kids.includes(signerOf(token)));
  t.equal((await stateOf('retiring')).length, 0);
});

t.test('tokens of a compromised key are refused at once, and a refresh gives one of another key', async (t) => {
  const { access_token: token, refresh_token: refreshToken } = await service.login();
  const kid = String(signerOf(token));
  await signingKeys.revoke(kid, { compromised: true }, byService);
  t.notOk((await jwks()).kids.includes(kid));
  const refused = await get('/v1/me', token);
  t.same([refused.statusCode, codeOf(refused)], [401, 'unknown_key']);
  const next = (await service.refresh(refreshToken)).json();
  t.equal((await get('/v1/me', next.access_token)).statusCode, 200);
});

t.test(
  'a row that was changed fails readiness, and neither time nor a restart puts another key in its place',
  async (t) => {
    const missing = async ({ get } = service) => (await get('/readyz')).json().missing;
    const login = ({ post } = service) => post('/v1/login', { email: 'ada@example.com', password: PASSWORD });
    t.same((await service.get('/readyz')).statusCode, 200);
    const { database } = service;
    const [active] = await stateOf('active');
    await execute(database, `UPDATE signing_keys SET sealed_private = '\\x00' WHERE kid = '${active?.kid}'`);
    t.same(await missing(), ['signing_key']);
    t.equal((await login()).statusCode, 200, 'a node that has it open signs on');

    const started = await startService(t, { ...options, database, clock });
    t.same(await missing(started), ['signing_key']);
    t.same([(await login(started)).statusCode, codeOf(await login(started))], [503, 'signing_key_unavailable']);
    const kids = (await signingKeys.list()).map(({ kid }) => kid);
    clock.advance(99 * 86_400);
    for (const { services } of [service, started]) await services.signingKeys.tend();
    t.same(
      (await signingKeys.list()).map(({ kid }) => kid),
      kids,
    );
  },
);
