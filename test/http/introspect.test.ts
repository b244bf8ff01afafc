/** POST /oauth/introspect (RFC 7662): what a service is told of a token, and that it is told nothing of others. */
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { isOauthError } from '../support/answers.js';
import { breakableProjection } from '../support/breakable-projection.js';
import { createForge } from '../support/forge.js';
import { basicOf, oauthOf } from '../support/oauth.js';
import { execute, startService, testKeks } from '../support/service.js';

const redis = breakableProjection();
const keks = testKeks();
const service = await startService(t, { projection: redis.projection, keks, env: { LIMIT_FAILURES: '5' } });
const { database, services, clock, login, refresh, post } = service;
const { send, confidential, tokenOf } = oauthOf(service);
const userId = await service.register();
const orders = await confidential('orders', { audiences: ['stock', 'api'] });
const other = await confidential('other', { audiences: ['elsewhere'] });
const forge = await createForge(service, keks, (await login()).access_token);

const ask = (token: string, headers: object = orders.basic) => send('/oauth/introspect', { token }, headers);

async function isInactive(t: Test, token: string, what: string, headers: object = orders.basic) {
  const answer = await ask(token, headers);
  t.same([answer.statusCode, answer.json()], [200, { active: false }], what);
  t.equal(answer.headers['cache-control'], 'no-store');
}

t.test('a service is told all there is to know of a token that it may accept', async (t) => {
  const { access_token: token, session_id: sid } = await login();
  const answer = await ask(token);
  t.equal(answer.statusCode, 200);
  t.equal(answer.headers['cache-control'], 'no-store');
  const { iat, exp, jti } = decodeJwt(token);
  t.strictSame(answer.json(), {
    active: true,
    iss: 'http://127.0.0.1:3000',
    sub: userId,
    aud: 'api',
    client_id: 'default',
    scope: '',
    exp,
    token_type: 'Bearer',
    iat,
    nbf: iat,
    jti,
    roles: [],
    sid,
  });
});

t.test('a token of a service belongs to no session and no user', async (t) => {
  const answer = (await ask(await tokenOf(orders.basic))).json();
  t.match(answer, { active: true, sub: 'orders', client_id: 'orders', aud: 'stock' });
  t.notOk('sid' in answer || 'roles' in answer);
});

t.test('a token for another audience is none', async (t) => {
  const { access_token: token } = await login();
  await isInactive(t, token, 'not of the one who asks', other.basic);
  t.equal((await ask(forge.token({ claims: { aud: ['x', 'api'] } }))).json().active, true, 'one of several will do');
  await isInactive(t, forge.token({ claims: { aud: ['x', 'y'] } }), 'none of several');
});

t.test('what would be refused is not active, and nothing more is said', async (t) => {
  const now = Math.floor(clock.now() / 1000);
  const tokens: Record<string, string> = {
    'no token': 'x',
    malformed: 'a.b.c',
    expired: forge.token({ claims: { exp: now - 5 } }),
    'not valid yet': forge.token({ claims: { nbf: now + 6 } }),
    'of another issuer': forge.token({ claims: { iss: 'https://elsewhere.example' } }),
    'of an unknown key': forge.token({ header: { kid: 'unknown' } }),
    'with a wrong signature': forge.token({ signer: () => new Uint8Array(256) }),
    'of another algorithm': forge.token({ header: { alg: 'none' } }),
    'of no session that is there': forge.token({ claims: { sid: '01900000-0000-7000-8000-000000000009' } }),
    'of no session at all': forge.token({ claims: { sid: 'x' } }),
    'with roles that are none': forge.token({ claims: { roles: 'admin' } }),
    'of somebody else’s session': forge.token({ claims: { sub: '01900000-0000-7000-8000-000000000009' } }),
  };
  for (const [what, token] of Object.entries(tokens)) await isInactive(t, token, what);
});

t.test('a revoked token is not active from then on', async (t) => {
  const [over, back, run] = [await login(), await login(), await login()];
  t.equal((await ask(over.access_token)).json().active, true);
  await post('/v1/logout', { refresh_token: over.refresh_token });
  await isInactive(t, over.access_token, 'the session was ended');
  await send('/oauth/revoke', { token: back.access_token, client_id: 'default' });
  await isInactive(t, back.access_token, 'it was given back');
  await execute(database, `UPDATE sessions SET idle_expires_at = created_at WHERE id = '${run.session_id}'`);
  await isInactive(t, run.access_token, 'the session has run out');
});

t.test('a refresh token is active for its own client, as long as it can be used', async (t) => {
  const { refresh_token: token, session_id: sid } = await login();
  await isInactive(t, token, 'it is the app’s');
  // No way of logging in gives a confidential client a session yet.
  await execute(database, `UPDATE sessions SET client_id = 'orders' WHERE id = '${sid}'`);
  const answer = (await ask(token)).json();
  t.match(answer, { active: true, sub: userId, client_id: 'orders', aud: 'api', sid });
  t.equal(answer.exp, Math.floor(clock.now() / 1000) + 14 * 86_400);
  t.notOk('token_type' in answer, 'it is no bearer token');
  await isInactive(t, token, 'another service', other.basic);
  await isInactive(t, `${token.slice(0, -2)}AA`, 'not genuine');

  const { refresh_token: next } = (await refresh(token)).json();
  await isInactive(t, token, 'it has been used');
  t.equal((await ask(next)).json().active, true);
  await post('/v1/logout', { refresh_token: next });
  await isInactive(t, next, 'the session has ended');
});

t.test('when it cannot be told whether a token is revoked, nobody is told that it is good', async (t) => {
  const { access_token: token } = await login();
  redis.break();
  // Longer than the node may trust what it knows.
  clock.advance(2);
  const answer = await service.app.inject({
    method: 'POST',
    url: '/oauth/introspect',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...orders.basic },
    payload: new URLSearchParams({ token }).toString(),
  });
  redis.mend();
  isOauthError(t, answer, 503, 'temporarily_unavailable');
  t.match(
    service.logs.findLast(({ msg }) => msg === 'request'),
    { code: 'revocation_unknown' },
  );
  await services.revocations.follow();
  t.equal((await ask(token)).json().active, true);
});

t.test('nobody asks who cannot prove who he is, and guessing is slowed down', async (t) => {
  const { access_token: token } = await login();
  const form = { token };
  isOauthError(t, await send('/oauth/introspect', form), 401, 'invalid_client', 'nobody');
  const named = { ...form, client_id: 'default' };
  isOauthError(t, await send('/oauth/introspect', named), 401, 'invalid_client', 'a public client');
  isOauthError(t, await ask(token, { authorization: `Bearer ${token}` }), 401, 'invalid_client', 'a bearer token');
  isOauthError(t, await send('/oauth/introspect', {}, orders.basic), 400, 'invalid_request', 'no token');
  const posted = { ...form, client_id: 'orders', client_secret: orders.secret };
  t.equal((await send('/oauth/introspect', posted)).json().active, true, 'the secret may be in the form');

  const wrong = basicOf('orders', 'a guess');
  for (let i = 0; i < 5; i++) isOauthError(t, await ask(token, wrong), 401, 'invalid_client', 'a guess');
  const blocked = await ask(token);
  isOauthError(t, blocked, 429, 'temporarily_unavailable', 'blocked, with the right secret too');
  t.match(blocked.headers['retry-after'], /^[1-9]\d*$/);
});

t.test('the log says who asked, and not about whom', async (t) => {
  const lines = service.logs.filter(({ path, status }) => path === '/oauth/introspect' && status === 200);
  t.ok(lines.length > 10);
  t.same(
    lines.filter((line) => !['orders', 'other'].includes(String(line.client_id)) || 'jti' in line || 'sub' in line),
    [],
  );
});
