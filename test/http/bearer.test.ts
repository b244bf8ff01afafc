/** How a bearer token reaches the service, what it is worth there, and how a refusal of it looks. */
import t from 'tap';
import { isBearerRefusal, isProblem, outcomeOf } from '../support/answers.js';
import { createForge } from '../support/forge.js';
import { execute, PASSWORD, startService, testKeks } from '../support/service.js';

const keks = testKeks();
const service = await startService(t, { keks });
const { call, post, get, register, login, clock, database } = service;
const userId = await register();
const tokens = await login();
const forge = await createForge(service, keks, tokens.access_token);

const me = (authorization?: string | string[]) =>
  call({
    method: 'GET',
    url: '/v1/me',
    ...(authorization === undefined ? {} : { headers: { Authorization: authorization } }),
  });

t.test('a genuine token and one that the forge left as it was are accepted', async (t) => {
  for (const token of [tokens.access_token, forge.token()]) {
    const response = await me(`Bearer ${token}`);
    t.equal(response.statusCode, 200);
    t.equal(response.json().id, userId);
  }
});

t.test('the scheme may be written in any case and followed by several blanks', async (t) => {
  for (const prefix of ['bearer ', 'BEARER ', 'bEaReR   ']) {
    t.equal((await me(prefix + tokens.access_token)).statusCode, 200, prefix);
  }
});

t.test('a request without a bearer token is told of no error', async (t) => {
  isBearerRefusal(t, await me(), 'token_missing', 'no header');
  for (const other of [
    'Basic YTpi',
    `Token ${tokens.access_token}`,
    `DPoP ${tokens.access_token}`,
    tokens.access_token,
    '',
  ]) {
    isBearerRefusal(t, await me(other), 'token_missing', other.slice(0, 12));
  }
});

t.test('something other than one token after the scheme is malformed', async (t) => {
  const token = tokens.access_token;
  const values = [
    'Bearer',
    'Bearer ',
    `Bearer ${token} ${token}`,
    `Bearer ${token.replace('.', '. ')}`,
    `Bearer "${token}"`,
    `Bearer ${token},`,
    `Bearer\t${token}`,
    `Bearer ${token}, Bearer ${token}`,
  ];
  for (const value of values) isBearerRefusal(t, await me(value), 'token_malformed', value.slice(0, 20));
});

t.test('two Authorization headers are refused, even if both are right', async (t) => {
  isProblem(t, await me([`Bearer ${tokens.access_token}`, `Bearer ${tokens.access_token}`]), 400, 'invalid_request');
  isProblem(t, await me([`Bearer ${tokens.access_token}`, 'Basic YTpi']), 400, 'invalid_request');
});

t.test('a token in the query or in a body is not looked at', async (t) => {
  const token = tokens.access_token;
  isProblem(t, await call({ method: 'GET', url: `/v1/me?access_token=${token}` }), 400, 'invalid_request');
  const inBody = await call({
    method: 'GET',
    url: '/v1/me',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: `access_token=${token}`,
  });
  isBearerRefusal(t, inBody, 'token_missing');
  isProblem(t, await post('/v1/logout', { access_token: token }), 400, 'invalid_request');
  t.equal((await get('/v1/me', token)).statusCode, 200, 'nothing has ended');
});

t.test('a token of no session is genuine, but not of a person', async (t) => {
  const response = await me(`Bearer ${forge.token({ claims: { sid: undefined } })}`);
  isProblem(t, response, 403, 'session_required');
});

t.test('a token must name a session as sessions are named', async (t) => {
  for (const sid of [
    '',
    'x',
    '1 OR 1=1',
    `{${tokens.session_id}}`,
    `urn:uuid:${tokens.session_id}`,
    7,
    null,
    [tokens.session_id],
  ]) {
    isBearerRefusal(t, await me(`Bearer ${forge.token({ claims: { sid } })}`), 'token_malformed', String(sid));
  }
});

t.test('a token of any audience is good for the account, since the session is looked at', async (t) => {
  t.equal((await me(`Bearer ${forge.token({ claims: { aud: 'any other' } })}`)).statusCode, 200);
});

t.test('a subject that is not the session’s owner gets nowhere', async (t) => {
  for (const sub of ['default', '', '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b']) {
    isBearerRefusal(t, await me(`Bearer ${forge.token({ claims: { sub } })}`), 'token_revoked', sub);
  }
});

t.test('a token of a session that is not there, or is somebody else’s, is revoked', async (t) => {
  await register('eve@example.com');
  const other = await login('eve@example.com');
  const unknown = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';
  for (const sid of [unknown, other.session_id]) {
    isBearerRefusal(t, await me(`Bearer ${forge.token({ claims: { sid } })}`), 'token_revoked');
  }
});

t.test('the token of an ended session is revoked at once', async (t) => {
  const { access_token: token, refresh_token: refreshToken } = await login();
  t.equal((await post('/v1/logout', { refresh_token: refreshToken })).statusCode, 204);
  isBearerRefusal(t, await me(`Bearer ${token}`), 'token_revoked');
});

t.test('the token of a disabled user is revoked, and works again once the user is enabled', async (t) => {
  await register('dan@example.com');
  const { access_token: token } = await login('dan@example.com');
  await execute(database, `UPDATE users SET disabled_at = now() WHERE email_key = 'dan@example.com'`);
  isBearerRefusal(t, await me(`Bearer ${token}`), 'token_revoked');
  await execute(database, `UPDATE users SET disabled_at = NULL WHERE email_key = 'dan@example.com'`);
  t.equal((await me(`Bearer ${token}`)).statusCode, 200);
});

t.test('every route of a person’s account checks its bearer', async (t) => {
  const token = forge.token({ claims: { iss: 'https://elsewhere.example' } });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const passwords = JSON.stringify({ current_password: PASSWORD, new_password: 'another walk by the sea' });
  const routes = [
    { method: 'GET', url: '/v1/me' },
    { method: 'POST', url: '/v1/me/password', payload: passwords },
    { method: 'POST', url: '/v1/logout', payload: '{}' },
    { method: 'GET', url: '/v1/sessions' },
    { method: 'DELETE', url: '/v1/sessions', headers: { authorization: headers.authorization } },
    { method: 'DELETE', url: `/v1/sessions/${tokens.session_id}`, headers: { authorization: headers.authorization } },
  ] as const;
  for (const route of routes) {
    const { headers: own = headers, ...rest } = { headers, ...route };
    isBearerRefusal(t, await call({ ...rest, headers: own }), 'invalid_issuer', `${route.method} ${route.url}`);
    isBearerRefusal(t, await call({ ...rest, headers: { ...own, authorization: 'Basic YTpi' } }), 'token_missing');
  }
  t.equal((await me(`Bearer ${tokens.access_token}`)).statusCode, 200, 'nothing has changed');
});

t.test('a token expires to the second, five seconds late', async (t) => {
  const { access_token: token, expires_in: ttl } = await login();
  const outcome = async () => outcomeOf(await me(`Bearer ${token}`));
  t.equal(ttl, 900);
  clock.advance(ttl + 4);
  t.equal(await outcome(), '200', 'within the tolerance');
  clock.advance(0.749);
  t.equal(await outcome(), '200', 'one millisecond before its end');
  clock.advance(0.001);
  isBearerRefusal(t, await me(`Bearer ${token}`), 'token_expired');
});

t.test('the token of a session that has run out is revoked', async (t) => {
  // The clock has moved on by more than a view of the keys may be old.
  await service.services.keys.load();
  const { access_token: token } = await login();
  // A client may have been given access tokens that live longer than its sessions.
  await execute(database, `UPDATE sessions SET idle_expires_at = '2026-03-01T00:00:00Z' WHERE revoked_at IS NULL`);
  isBearerRefusal(t, await me(`Bearer ${token}`), 'token_revoked');
});
