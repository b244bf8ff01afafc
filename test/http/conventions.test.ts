import t, { type Test } from 'tap';
import { fastDatabase } from '../support/databases.js';
import { codeOf, PASSWORD, startService, testKeks } from '../support/service.js';
import { answerOf, faultsOf } from './refusals.js';

const database = await fastDatabase(t);
const keks = testKeks();
const start = (t: Test, env: Record<string, string> = {}) => startService(t, { database, keks, env });

const BODY_LIMIT = 16 * 1024;
const json = { 'content-type': 'application/json' };
const jwks = '/.well-known/jwks.json';
const published = [jwks, '/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'];

t.test('nothing may be stored but the published documents', async (t) => {
  const { get, post, register, login } = await start(t);
  await register();
  const { access_token: token } = await login();
  const answers = [
    ...[await get('/v1/me', token), await get('/v1/sessions', token), await get('/livez'), await get('/readyz')],
    ...[await get('/openapi.json'), await get('/v1/me'), await get('/nothing'), await get('/docsx')],
    ...[await get('/.well-known/nothing'), await post(jwks), await get(`${jwks}?x=1`), await post('/docs')],
    ...[await post('/v1/users', { email: 'edith@example.com', password: PASSWORD }), await post('/oauth/token')],
  ];
  for (const answer of answers) t.equal(answer.headers['cache-control'], 'no-store', answer.raw.req.url ?? '');
  for (const path of [...published, '/docs', '/docs/errors']) {
    const answer = await get(path);
    t.equal(answer.statusCode, 200, path);
    t.not(answer.headers['cache-control'], 'no-store', path);
  }
});

t.test('a page for people may run no script but its own, and is taken for what it is', async (t) => {
  const { get } = await start(t);
  for (const [path, policy] of [
    ['/docs', /^default-src 'self';.* script-src 'self'/],
    ['/docs/errors', /^default-src 'none';.* frame-ancestors 'none'/],
  ] as const) {
    const { headers } = await get(path);
    t.match(headers['content-type'], /^text\/html/, path);
    t.match(headers['content-security-policy'], policy, path);
    t.equal(headers['x-content-type-options'], 'nosniff', path);
  }
});

t.test('the published documents say how long they are good, and have a strong validator', async (t) => {
  const { call, get } = await start(t);
  for (const path of published) {
    const { headers, body } = await get(path);
    t.match(
      headers['cache-control'],
      /^public, max-age=[1-9]\d*, stale-while-revalidate=\d+, stale-if-error=\d+$/,
      path,
    );
    const etag = String(headers.etag);
    t.match(etag, /^"[\x21\x23-\x7e]+"$/, path);
    t.equal((await get(path)).headers.etag, etag, 'the same bytes have the same tag');

    const ask = (value: string) => call({ method: 'GET', url: path, headers: { 'if-none-match': value } });
    for (const value of [etag, `W/${etag}`, '*', `"x", ${etag}`, `"x",W/${etag},"y"`, ` ${etag} `]) {
      const answer = await ask(value);
      t.same([answer.statusCode, answer.body], [304, ''], value);
      t.equal(answer.headers.etag, etag, value);
      t.equal(answer.headers['cache-control'], headers['cache-control'], value);
    }
    for (const value of ['"x"', etag.replaceAll('"', ''), '', etag.toLowerCase().replace(/^"./, '"_'), '"*"']) {
      const answer = await ask(value);
      t.same([answer.statusCode, answer.body], [200, body], value);
    }
  }
  t.not((await get(jwks)).headers.etag, (await get('/.well-known/openid-configuration')).headers.etag);
});

t.test('a body may have 16 KiB and not one byte more', async (t) => {
  const { call, register, refresh, login } = await start(t);
  await register('grace@example.com');
  const { refresh_token: token } = await login('grace@example.com');
  const good = JSON.stringify({ email: 'grace@example.com', password: PASSWORD });
  const padded = (text: string, bytes: number) => text + ' '.repeat(bytes - Buffer.byteLength(text));
  const send = (payload: string, headers = {}) =>
    call({ method: 'POST', url: '/v1/login', headers: { ...json, ...headers }, payload });
  t.equal((await send(padded(good, BODY_LIMIT))).statusCode, 200);
  for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
    const answer = await send(padded(good, BODY_LIMIT + 1), headers);
    t.same([answer.statusCode, codeOf(answer)], [413, 'payload_too_large']);
    t.same(faultsOf(answerOf(answer)), []);
  }

  const form = `grant_type=refresh_token&refresh_token=${token}&x=`;
  const grant = (bytes: number) =>
    call({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: form.padEnd(bytes, 'x'),
    });
  t.same([(await grant(BODY_LIMIT + 1)).statusCode, (await grant(BODY_LIMIT)).statusCode], [413, 200]);
  t.equal((await refresh(token)).headers['keyturn-refresh-outcome'], 'concurrent', 'the larger one used nothing up');
});

t.test('an unknown member is named', async (t) => {
  const { call, get, post } = await start(t);
  const good = { email: 'mary@example.com', password: PASSWORD };
  for (const name of ['is_admin', 'Email', 'constructor']) {
    const answer = await post('/v1/users', { ...good, [name]: 'a value that is kept out' });
    t.equal(codeOf(answer), 'invalid_request');
    t.match(answer.json().detail, `"${name}"`);
    t.notMatch(answer.body, 'a value that is kept out');
  }
  const text = `{"email":"mary@example.com","password":"${PASSWORD}","__proto__":{"x":1}}`;
  const proto = await call({ method: 'POST', url: '/v1/users', headers: json, payload: text });
  t.match(proto.json().detail, '"__proto__"');
  const query = await get('/v1/me?access_token=x');
  t.equal(codeOf(query), 'invalid_request');
  t.match(query.json().detail, '"access_token"');
  t.equal((await post('/v1/users', good)).statusCode, 201, 'none of them registered anybody');
});

t.test('five failed attempts block guesses from the address, and nothing genuine', async (t) => {
  const { call, post, refresh, register, login } = await start(t, { LIMIT_FAILURES: '5' });
  await register('joan@example.com');
  const { refresh_token: token } = await login('joan@example.com');
  const guess = (password: string) => post('/v1/login', { email: 'joan@example.com', password });
  for (let i = 0; i < 5; i++) t.equal(codeOf(await guess(`a wrong guess, number ${i}`)), 'invalid_credentials');

  const blocked = await guess(PASSWORD);
  t.same([blocked.statusCode, codeOf(blocked)], [429, 'too_many_attempts'], 'the right password is not looked at');
  t.match(blocked.headers['retry-after'], /^[1-9]\d*$/);
  t.same(faultsOf(answerOf(blocked)), []);
  const rotated = await refresh(token);
  t.equal(rotated.headers['keyturn-refresh-outcome'], 'rotated', 'a genuine refresh token passes');
  const invented = await refresh(`ktr_${'A'.repeat(90)}Q`);
  t.same([invented.statusCode, codeOf(invented)], [429, 'too_many_attempts'], 'an invented one does not');
  t.match(invented.headers['retry-after'], /^[1-9]\d*$/);
  t.equal(
    codeOf(await post('/v1/login', { email: 'joan@example.com' })),
    'invalid_request',
    'what is malformed is no guess',
  );

  const elsewhere = await call({
    method: 'POST',
    url: '/v1/login',
    headers: json,
    payload: JSON.stringify({ email: 'joan@example.com', password: PASSWORD }),
    remoteAddress: '192.0.2.7',
  });
  t.equal(elsewhere.statusCode, 200, 'another address is not blocked');
});
