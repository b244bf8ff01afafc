/** POST /v1/login: every way in, and every way to be refused. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { isProblem } from '../support/answers.js';
import { execute, PASSWORD, rowOf, rowsOf, startService, testKeks } from '../support/service.js';

const keks = testKeks();
const service = await startService(t, { keks });
const { post, get, refresh, register, login, database, clock, services } = service;
const userId = await register();

const tryLogin = (more: Record<string, unknown> = {}) =>
  post('/v1/login', { email: 'ada@example.com', password: PASSWORD, ...more });
const audited = (event: string, where = 'true') => rowsOf(database, 'audit_events', `event = '${event}' AND ${where}`);

t.test('a registered person logs in', async (t) => {
  const response = await post(
    '/v1/login',
    { email: ' ADA@Example.com ', password: PASSWORD, device_name: 'Ada’s phone' },
    { 'user-agent': 'Analytical Engine/1.0' },
  );
  t.equal(response.statusCode, 200);
  t.equal(response.headers['cache-control'], 'no-store');
  const tokens = response.json();
  t.strictSame(Object.keys(tokens).sort(), [
    'access_token',
    'device_token',
    'expires_in',
    'refresh_token',
    'refresh_token_expires_in',
    'scope',
    'session_id',
    'token_type',
  ]);
  t.match(tokens, {
    token_type: 'Bearer',
    expires_in: 900,
    scope: '',
    refresh_token: /^ktr_[A-Za-z0-9_-]{91}$/,
    refresh_token_expires_in: 14 * 86_400,
  });
  const now = Math.floor(clock.now() / 1000);
  t.match(decodeJwt(tokens.access_token), {
    iss: 'http://127.0.0.1:3000',
    sub: userId,
    aud: 'api',
    iat: now,
    nbf: now,
    exp: now + 900,
    jti: /^[A-Za-z0-9_-]{22}$/,
    sid: tokens.session_id,
    client_id: 'default',
    scope: '',
    roles: [],
    auth_time: now,
  });
  const who = { user_id: userId, session_id: tokens.session_id, client_id: 'default' };
  t.match(await audited('login.succeeded', `session_id = '${tokens.session_id}'`), [
    { ...who, outcome: 'success', actor: `user:${userId}`, user_agent: 'Analytical Engine/1.0', ip: '127.0.0.1' },
  ]);
  t.match(await rowOf(database, 'sessions', `id = '${tokens.session_id}'`), {
    generation: 0,
    device_name: 'Ada’s phone',
    user_agent: 'Analytical Engine/1.0',
    ip: '127.0.0.1',
  });
  t.equal((await get('/v1/me', tokens.access_token)).statusCode, 200);
});

t.test('each login begins a session of its own', async (t) => {
  const [first, second] = await Promise.all([login(), login()]);
  t.not(first.session_id, second.session_id);
  t.not(first.refresh_token, second.refresh_token);
});

t.test('an unknown e-mail and a wrong password get the same answer', async (t) => {
  const wrong = await tryLogin({ password: 'not the password' });
  const unknown = await tryLogin({ email: 'nobody@example.com' });
  const answers = [wrong, unknown].map((response) => {
    isProblem(t, response, 401, 'invalid_credentials');
    t.equal(response.headers['www-authenticate'], 'Bearer realm="keyturn"');
    const { request_id: requestId, ...body } = response.json();
    t.type(requestId, 'string');
    const { 'x-request-id': _, 'content-length': length, ...headers } = response.headers;
    return { body, headers, length };
  });
  t.strictSame(answers[0], answers[1]);
  t.match(await audited('login.failed'), [
    { outcome: 'failure', actor: 'anonymous', user_id: userId, client_id: 'default', session_id: null },
    { outcome: 'failure', actor: 'anonymous', user_id: null, client_id: 'default', session_id: null },
  ]);
});

t.test('a password of any length is only wrong', async (t) => {
  for (const password of ['x', 'x'.repeat(129), 'x'.repeat(4096)]) {
    isProblem(t, await tryLogin({ password }), 401, 'invalid_credentials', `${password.length} characters`);
  }
  isProblem(t, await tryLogin({ password: 'x'.repeat(4097) }), 400, 'invalid_request');
});

t.test('a password typed on another keyboard is the same password', async (t) => {
  await register('kb@example.com', 'of ﬁne Ｗaves ①②');
  for (const password of ['of ﬁne Ｗaves ①②', 'of fine Waves 12']) {
    t.equal((await tryLogin({ email: 'kb@example.com', password })).statusCode, 200, password);
  }
  t.equal((await tryLogin({ email: 'kb@example.com', password: 'of fine waves 12' })).statusCode, 401, 'case counts');
  await register('nfd@example.com', 'Ångström'.normalize('NFD'));
  const password = 'Ångström'.normalize('NFC');
  t.equal((await tryLogin({ email: 'nfd@example.com', password })).statusCode, 200);
});

t.test('a client must be there, be public, and have the grant', async (t) => {
  const fields = { type: 'confidential', audiences: ['api'], name: 'A service' } as const;
  await services.clients.create({ ...fields, clientId: 'service' });
  await services.clients.create({ ...fields, clientId: 'service-with-password', grants: ['password'] });
  await services.clients.create({ ...fields, clientId: 'public-without', type: 'public', grants: ['refresh_token'] });
  isProblem(t, await tryLogin({ client_id: 'nobody' }), 400, 'unknown_client');
  for (const client of ['service', 'service-with-password', 'public-without']) {
    isProblem(t, await tryLogin({ client_id: client }), 403, 'grant_not_allowed', client);
  }
});

t.test('audience and scope are among those of the client', async (t) => {
  const client = { clientId: 'shop', name: 'Shop', type: 'public', audiences: ['shop', 'stock'] } as const;
  await services.clients.create({ ...client, scopes: ['read', 'write'] });
  const claimsOf = async (more: Record<string, unknown>) => {
    const response = await tryLogin({ client_id: 'shop', ...more });
    t.equal(response.statusCode, 200, JSON.stringify(more));
    const { aud, scope, client_id: clientId } = decodeJwt(response.json().access_token);
    t.equal(response.json().scope, scope);
    return { aud, scope, clientId };
  };
  const clientId = 'shop';
  t.strictSame(await claimsOf({}), { aud: 'shop', scope: 'read write', clientId });
  t.strictSame(await claimsOf({ audience: 'stock', scope: 'write' }), { aud: 'stock', scope: 'write', clientId });
  t.strictSame(await claimsOf({ scope: ' write  read write ' }), { aud: 'shop', scope: 'write read', clientId });
  t.strictSame(await claimsOf({ scope: '' }), { aud: 'shop', scope: '', clientId });
  isProblem(t, await tryLogin({ client_id: 'shop', audience: 'api' }), 403, 'audience_not_allowed');
  isProblem(t, await tryLogin({ client_id: 'shop', scope: 'read admin' }), 403, 'scope_not_allowed');
  isProblem(t, await tryLogin({ client_id: 'shop', audience: '' }), 400, 'invalid_request');
  isProblem(t, await tryLogin({ client_id: 'shop', audience: ['shop', 'stock'] }), 400, 'invalid_request');
});

t.test('a session keeps its audience and scope when it is refreshed', async (t) => {
  const { refresh_token: token } = await login('ada@example.com', {
    client_id: 'shop',
    audience: 'stock',
    scope: 'read',
  });
  const refreshed = (await refresh(token)).json();
  t.match(decodeJwt(refreshed.access_token), { aud: 'stock', scope: 'read', client_id: 'shop' });
});

t.test('the client of the administration is for users with the role alone', async (t) => {
  const email = 'root@example.com';
  await register(email);
  const before = (await rowsOf(database, 'sessions')).length;
  isProblem(t, await tryLogin({ email, client_id: 'keyturn-admin' }), 403, 'role_required');
  const wrong = { email, client_id: 'keyturn-admin', password: 'not the password' };
  isProblem(t, await tryLogin(wrong), 401, 'invalid_credentials', 'the password is asked first');
  t.equal((await rowsOf(database, 'sessions')).length, before, 'no session has begun');
  await execute(database, `UPDATE users SET roles = '{admin}' WHERE email_key = '${email}'`);
  const tokens = await login(email, { client_id: 'keyturn-admin' });
  t.match(decodeJwt(tokens.access_token), { aud: 'keyturn-admin', client_id: 'keyturn-admin', roles: ['admin'] });
});

t.test('only the right password tells that an account is disabled', async (t) => {
  const email = 'dan@example.com';
  await register(email);
  await execute(database, `UPDATE users SET disabled_at = now() WHERE email_key = '${email}'`);
  isProblem(t, await tryLogin({ email, password: 'not the password' }), 401, 'invalid_credentials');
  isProblem(t, await tryLogin({ email }), 403, 'account_disabled');
  t.equal(
    (await rowsOf(database, 'sessions', `user_id = (SELECT id FROM users WHERE email_key = '${email}')`)).length,
    0,
  );
});

t.test('a login says what it wants in a way that can be read', async (t) => {
  const wrong: Record<string, unknown>[] = [
    { email: 'no-at-sign' },
    { password: undefined },
    { password: 7 },
    { client_id: '' },
    { client_id: 'with blank' },
    { device_name: '' },
    { device_name: 'x'.repeat(101) },
    { device_name: 'line\nbreak' },
    { device_name: 'zero\u0000' },
    { scope: 'a"b' },
    { remember_me: true },
  ];
  for (const more of wrong)
    isProblem(t, await tryLogin(more), 400, 'invalid_request', JSON.stringify(more).slice(0, 40));
});

t.test('a hash of another cost is made anew at the next right login', async (t) => {
  const email = 'cost@example.com';
  await register(email);
  const stored = async () => rowOf(database, 'users', `email_key = '${email}'`);
  const before = await stored();
  const dearer = await startService(t, { database, keks, env: { ARGON2_TIME_COST: '2', ARGON2_MEMORY_KIB: '16' } });
  isProblem(t, await dearer.post('/v1/login', { email, password: 'not the password' }), 401, 'invalid_credentials');
  t.equal((await stored()).password_hash, before.password_hash, 'not for a wrong password');
  await dearer.login(email);
  const after = await stored();
  t.match(before.password_hash, '$m=8,t=1,p=1$');
  t.match(after.password_hash, '$m=16,t=2,p=1$');
  t.strictSame(after.password_changed_at, before.password_changed_at, 'the password is still the same');
  await dearer.login(email);
  t.equal((await stored()).password_hash, after.password_hash, 'once');
  await login(email);
});

t.test('too many logins at once are told to come again', async (t) => {
  // Slow enough for all the others to arrive while the first is hashed.
  const env = { ARGON2_CONCURRENCY: '1', ARGON2_QUEUE: '0', ARGON2_MEMORY_KIB: '131072', ARGON2_TIME_COST: '3' };
  const busy = await startService(t, { database, keks, env });
  await busy.register('busy@example.com');
  const body = { email: 'busy@example.com', password: PASSWORD };
  const responses = await Promise.all(Array.from({ length: 5 }, () => busy.post('/v1/login', body)));
  const [through, refused] = [200, 503].map((status) => responses.filter((r) => r.statusCode === status));
  t.equal(through?.length, 1);
  t.equal(refused?.length, 4);
  for (const response of refused ?? []) {
    isProblem(t, response, 503, 'overloaded');
    t.equal(response.headers['retry-after'], '2');
  }
  const again = await busy.post('/v1/users', { email: 'busy2@example.com', password: PASSWORD });
  t.equal(again.statusCode, 201, 'and afterwards there is room again');
});

t.test('an address that guesses is blocked, whatever it then sends', async (t) => {
  const guarded = await startService(t, { database, keks, env: { LIMIT_FAILURES: '2', LIMIT_BLOCK: '5m' } });
  const body = { email: 'ada@example.com', password: PASSWORD };
  const from = (remoteAddress: string, more: object) =>
    guarded.call({ method: 'POST', url: '/v1/login', payload: { ...body, ...more }, remoteAddress });
  isProblem(t, await from('192.0.2.1', { password: 'a guess' }), 401, 'invalid_credentials');
  isProblem(t, await from('192.0.2.1', { email: 'nobody@example.com' }), 401, 'invalid_credentials');
  const blocked = await from('192.0.2.1', {});
  isProblem(t, blocked, 429, 'too_many_attempts');
  const seconds = Number(blocked.headers['retry-after']);
  t.ok(seconds > 240 && seconds <= 300, 'for as long as LIMIT_BLOCK says');
  t.equal((await from('192.0.2.2', {})).statusCode, 200, 'others are not');
});
