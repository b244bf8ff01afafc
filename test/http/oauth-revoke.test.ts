/** POST /oauth/revoke (RFC 7009): what a client may give back, what that does, and that nobody learns anything by it. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { isBearerRefusal, isOauthError, isProblem } from '../support/answers.js';
import { breakableProjection } from '../support/breakable-projection.js';
import { createForge } from '../support/forge.js';
import { basicOf, oauthOf } from '../support/oauth.js';
import { rowsOf, startService, testKeks } from '../support/service.js';

const redis = breakableProjection();
const keks = testKeks();
const service = await startService(t, { projection: redis.projection, keks });
const { database, services, get, login, refresh } = service;
const { send, confidential, tokenOf } = oauthOf(service);
const userId = await service.register();
const billing = await confidential('billing');
const forge = await createForge(service, keks, (await login()).access_token);

const revoke = (form: Record<string, string>, headers = {}) => send('/oauth/revoke', form, headers);
const byDefault = (token: string, more = {}) => revoke({ token, client_id: 'default', ...more });
const rules = () => rowsOf(database, 'revocations', 'true ORDER BY id');
const events = (jti: unknown) => rowsOf(database, 'audit_events', `event = 'revocation.created' AND jti = '${jti}'`);

t.test('a refresh token that is given back ends its session', async (t) => {
  for (const token_type_hint of ['refresh_token', 'access_token', 'nonsense']) {
    const tokens = await login();
    const answer = await byDefault(tokens.refresh_token, { token_type_hint });
    t.same([answer.statusCode, answer.body, answer.headers['cache-control']], [200, '', 'no-store']);
    isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
    isProblem(t, await refresh(tokens.refresh_token), 401, 'session_revoked');
    t.equal((await byDefault(tokens.refresh_token)).statusCode, 200, 'a second time changes nothing');
    const ended = await rowsOf(
      database,
      'audit_events',
      `session_id = '${tokens.session_id}' AND event <> 'login.succeeded'`,
    );
    t.match(ended, [{ event: 'session.ended', user_id: userId }]);
  }
});

t.test('an access token that is given back is refused, and its session goes on', async (t) => {
  const tokens = await login();
  const { jti } = decodeJwt(tokens.access_token);
  t.equal((await byDefault(tokens.access_token)).statusCode, 200);
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  t.match((await rules()).at(-1), { kind: 'jti', value: jti, not_before: null });
  const expected = { actor: 'client:default', outcome: 'success', user_id: userId, session_id: tokens.session_id };
  t.match(await events(jti), [{ ...expected, client_id: 'default', details: { kind: 'jti', value: jti } }]);

  const { access_token: next } = (await refresh(tokens.refresh_token)).json();
  t.equal((await get('/v1/me', next)).statusCode, 200);
  const before = (await rules()).length;
  t.equal((await byDefault(tokens.access_token)).statusCode, 200);
  t.equal((await rules()).length, before, 'whoever repeats it adds nothing');
});

t.test('a service gives back a token in its own name', async (t) => {
  const token = await tokenOf(billing.basic);
  t.equal((await revoke({ token }, billing.basic)).statusCode, 200);
  isBearerRefusal(t, await get('/v1/me', token), 'token_revoked');
  t.match(await events(decodeJwt(token).jti), [{ actor: 'client:billing', user_id: null, client_id: 'billing' }]);
});

t.test('what is not a token of the client gets the same answer, and stays as it is', async (t) => {
  const tokens = await login();
  const service = await tokenOf(billing.basic);
  const before = await rules();
  for (const token of [tokens.access_token, tokens.refresh_token])
    t.equal((await revoke({ token }, billing.basic)).statusCode, 200, 'a person’s token, from a service');
  t.equal((await byDefault(service)).statusCode, 200, 'a service’s token, from an app');
  const exp = Number(forge.claims.iat) - 6;
  const others = [
    ...['x', 'ktr_x', `${tokens.refresh_token}x`, `${tokens.access_token}x`, 'a.b.c'],
    ...[forge.token({ claims: { exp } }), forge.token({ claims: { iss: 'https://elsewhere.example' } })],
    forge.token({ header: { kid: 'unknown' } }),
  ];
  for (const token of others) t.equal((await byDefault(token)).statusCode, 200, token.slice(0, 12));
  t.same(await rules(), before);
  t.equal((await get('/v1/me', tokens.access_token)).statusCode, 200);
  isProblem(t, await get('/v1/me', service), 403, 'session_required', 'it is good as before');
});

t.test('a client that cannot say who it is revokes nothing', async (t) => {
  const { access_token: token } = await login();
  isOauthError(t, await revoke({ token }), 401, 'invalid_client', 'nobody');
  isOauthError(t, await revoke({ token, client_id: 'nobody' }), 401, 'invalid_client', 'an unknown client');
  isOauthError(t, await revoke({ token, client_id: 'billing' }), 401, 'invalid_client', 'a secret is missing');
  isOauthError(t, await revoke({ token }, basicOf('billing', 'x')), 401, 'invalid_client', 'a wrong secret');
  isOauthError(t, await revoke({ token }, basicOf('default', '')), 401, 'invalid_client', 'a public client has none');
  isOauthError(t, await revoke({ client_id: 'default' }), 400, 'invalid_request', 'no token');
  isOauthError(t, await byDefault(''), 400, 'invalid_request', 'an empty one');
  const twice = { token, client_id: 'billing', client_secret: billing.secret };
  isOauthError(t, await revoke(twice, billing.basic), 400, 'invalid_request', 'authenticated twice');
  t.equal((await get('/v1/me', token)).statusCode, 200);
});

t.test('it is done when every node knows it, and not before', async (t) => {
  const tokens = await login();
  for (const token of [tokens.access_token, tokens.refresh_token]) {
    redis.break();
    const pending = await service.app.inject({
      method: 'POST',
      url: '/oauth/revoke',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ token, client_id: 'default' }).toString(),
    });
    isOauthError(t, pending, 503, 'temporarily_unavailable');
    t.match(pending.headers['retry-after'], /^[1-9]\d*$/);
    redis.mend();
    await services.revocations.relay();
    isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked', 'the relay brings it');
    t.equal((await byDefault(token)).statusCode, 200, 'and the repetition says so');
  }
});

t.test('the log says which client it was, and nothing of the token', async (t) => {
  const { access_token: token } = await login();
  await byDefault(token);
  t.match(service.logs.at(-1), { path: '/oauth/revoke', status: 200, client_id: 'default', ip: '127.0.0.1' });
  t.notMatch(JSON.stringify(service.logs.at(-1)), decodeJwt(token).jti ?? token);
});

t.test('the metadata say where tokens are given back and asked about', async (t) => {
  const issuer = 'http://127.0.0.1:3000';
  const methods = ['client_secret_basic', 'client_secret_post'];
  for (const path of ['oauth-authorization-server', 'openid-configuration']) {
    t.match((await get(`/.well-known/${path}`)).json(), {
      revocation_endpoint: `${issuer}/oauth/revoke`,
      revocation_endpoint_auth_methods_supported: ['none', ...methods],
      introspection_endpoint: `${issuer}/oauth/introspect`,
      introspection_endpoint_auth_methods_supported: methods,
    });
  }
});
