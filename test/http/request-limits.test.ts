/** How many requests an address, a client and a session may make in a minute, and what they are told of it. */
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { fastDatabase } from '../support/databases.js';
import { samplesOf } from '../support/metrics.js';
import { oauthOf } from '../support/oauth.js';
import { codeOf, PASSWORD, startService, testKeks } from '../support/service.js';
import { answerOf, faultsOf } from './refusals.js';

const database = await fastDatabase(t);
const keks = testKeks();
const HOME = '192.0.2.1';
const JWKS = '/.well-known/jwks.json';
type Method = 'GET' | 'POST' | 'PATCH' | 'OPTIONS';
let people = 0;

async function start(t: Test, env: Record<string, string> = {}) {
  const service = await startService(t, { database, keks, env });
  const from =
    (remoteAddress: string) =>
    (method: Method, url: string, more: InjectOptions = {}): Promise<LightMyRequestResponse> =>
      service.call({ method, url, remoteAddress, ...more });
  /** Logged in from an address that asks for nothing else. */
  async function person() {
    const email = `limited${++people}@example.com`;
    const send = (url: string) => from(`203.0.113.${people}`)('POST', url, { payload: { email, password: PASSWORD } });
    await send('/v1/users');
    return (await send('/v1/login')).json();
  }
  return { ...service, from, home: from(HOME), person, oauth: oauthOf(service) };
}
const bearer = (token: string, more: Record<string, string> = {}) => ({
  headers: { authorization: `Bearer ${token}`, ...more },
});
const statuses = async (times: number, ask: (i: number) => Promise<LightMyRequestResponse>) => {
  const all: number[] = [];
  for (let i = 0; i < times; i++) all.push((await ask(i)).statusCode);
  return all;
};
const isTooMany = (t: Test, answer: LightMyRequestResponse, path = '') => {
  t.equal(answer.statusCode, 429);
  t.match(answer.headers['retry-after'], /^([1-9]|[1-5]\d|60)$/, 'it may come again within the minute');
  t.strictSame(faultsOf(answerOf(answer), ...(path === '' ? [] : [{ path }])), []);
};

t.test('an address that asks too often is told how often it may, and when to come again', async (t) => {
  const { home, from, clock, metrics } = await start(t, { LIMIT_REQUESTS: '3' });
  for (const left of [2, 1, 0]) {
    const { headers, statusCode } = await home('GET', '/v1/me');
    t.equal(statusCode, 401);
    t.equal(headers['ratelimit-policy'], '"address";q=3;w=60');
    t.equal(headers.ratelimit, `"address";r=${left};t=60`);
  }
  clock.advance(21);
  for (const url of ['/v1/me', '/v1/login']) {
    const answer = await home(url === '/v1/me' ? 'GET' : 'POST', url, { payload: {} });
    isTooMany(t, answer);
    t.equal(codeOf(answer), 'too_many_requests');
    t.match(answer.headers, { ratelimit: '"address";r=0;t=39', 'retry-after': '39' });
  }
  isTooMany(t, await home('POST', '/oauth/token'), '/oauth/token');
  t.equal((await from('192.0.2.7')('GET', '/v1/me')).statusCode, 401, 'another address is counted apart');
  t.match(samplesOf(await metrics.text(), 'keyturn_requests_refused_total'), { 'subject="address"': 3 });
  clock.advance(39);
  t.equal((await home('GET', '/v1/me')).statusCode, 401, 'a minute later it begins anew');
});

t.test('what is refused before there is a route counts like all else', async (t) => {
  const { from } = await start(t, { LIMIT_REQUESTS: '2' });
  const asked: [string, Method, string, number, InjectOptions?][] = [
    ['a path that is not there', 'GET', '/nothing', 404],
    ['a method that is not there', 'PATCH', '/v1/login', 405],
    ['a path with a bad escape', 'GET', '/v1/sessions/%', 400],
    ['two parameters that are not there', 'GET', '/v1/me?a=1&b=2', 400],
    ['a body of another kind', 'POST', '/v1/login', 415, { headers: { 'content-type': 'text/x' }, payload: 'x' }],
  ];
  for (const [i, [what, method, url, status, more]] of asked.entries()) {
    const ask = () => from(`192.0.2.${10 + i}`)(method, url, more);
    t.strictSame(await statuses(3, ask), [status, status, 429], what);
    isTooMany(t, await ask());
  }
});

t.test('probes and published keys are for everybody, however often', async (t) => {
  const { home } = await start(t, { LIMIT_REQUESTS: '1' });
  await home('GET', '/v1/me');
  for (const url of [JWKS, '/.well-known/oauth-authorization-server', '/livez', '/readyz']) {
    t.strictSame(await statuses(3, () => home('GET', url)), [200, 200, 200], url);
    t.equal((await home('GET', url)).headers.ratelimit, undefined);
  }
  t.equal((await home('GET', '/v1/me')).statusCode, 429);
});

t.test('a page of another origin can read that it has to wait', async (t) => {
  const origin = 'https://app.example.com';
  const { home } = await start(t, { LIMIT_REQUESTS: '1', CORS_ORIGINS: origin });
  await home('GET', '/v1/me');
  const answer = await home('GET', '/v1/me', { headers: { origin } });
  t.equal(answer.statusCode, 429);
  t.equal(answer.headers['access-control-allow-origin'], origin);
  const preflight = { origin, 'access-control-request-method': 'GET' };
  t.equal((await home('OPTIONS', '/v1/me', { headers: preflight })).statusCode, 204);
});

t.test('preflights are nobody’s requests: a gateway passes on those of all its backends', async (t) => {
  const origin = 'https://app.example.com';
  const { home } = await start(t, { LIMIT_REQUESTS: '2', CORS_ORIGINS: origin });
  const headers = { origin, 'access-control-request-method': 'POST' };
  for (const url of ['/v1/preflight', '/v1/login', '/v1/me'])
    t.strictSame(await statuses(3, () => home('OPTIONS', url, { headers })), [204, 204, 204], url);
  t.equal((await home('GET', '/v1/me')).headers.ratelimit, '"address";r=1;t=60', 'the first that counts');
  t.strictSame(await statuses(2, () => home('OPTIONS', '/v1/me')), [405, 429], 'what is no preflight does');
});

t.test('a session is counted by itself, from wherever, once its token is proved', async (t) => {
  const { from, person, refresh } = await start(t, { LIMIT_SESSION_REQUESTS: '3' });
  const { access_token: token, session_id: id, refresh_token } = await person();
  const ask = (i: number) => from(`192.0.2.${i}`)('GET', '/v1/me', bearer(token));
  t.strictSame(await statuses(2, ask), [200, 200]);
  const last = await ask(5);
  t.strictSame(
    [last.headers['ratelimit-policy'], last.headers.ratelimit],
    ['"session";q=3;w=60', '"session";r=0;t=60'],
  );
  isTooMany(t, await ask(6));
  isTooMany(t, await refresh(refresh_token));
  const other = await person();
  t.equal((await from(HOME)('GET', '/v1/me', bearer(other.access_token))).statusCode, 200, 'another session is not');
  t.not(other.session_id, id);
});

t.test('a refresh that was made is answered, whatever is left', async (t) => {
  const { person, refresh, clock } = await start(t, { LIMIT_SESSION_REQUESTS: '2', LIMIT_REQUESTS: '100' });
  const { refresh_token: first } = await person();
  const one = await refresh(first);
  t.equal(one.headers.ratelimit, '"address";r=99;t=60, "session";r=1;t=60');
  const two = await refresh(one.json().refresh_token);
  t.equal(two.statusCode, 200);
  isTooMany(t, await refresh(two.json().refresh_token));
  clock.advance(60);
  t.equal((await refresh(two.json().refresh_token)).statusCode, 200, 'and its token is good when it may come again');
});

t.test('whoever has had all can still log out', async (t) => {
  const { home, person, post } = await start(t, { LIMIT_SESSION_REQUESTS: '1' });
  const { access_token: token } = await person();
  t.strictSame(await statuses(2, () => home('GET', '/v1/me', bearer(token))), [200, 429]);
  t.equal((await post('/v1/logout', undefined, bearer(token).headers)).statusCode, 204);
  t.equal(codeOf(await home('GET', '/v1/me', bearer(token))), 'token_revoked', 'and is out');
});

t.test('whoever has not proved anything uses up nothing of anybody', async (t) => {
  const { home, person, oauth, refresh } = await start(t, { LIMIT_SESSION_REQUESTS: '1', LIMIT_CLIENT_REQUESTS: '2' });
  const { access_token: token, refresh_token } = await person();
  const [head, claims] = token.split('.');
  for (let i = 0; i < 5; i++) {
    t.equal((await home('GET', '/v1/me', bearer(`${head}.${claims}.AAAA`))).statusCode, 401);
    const forged = `${refresh_token.slice(0, -4)}${refresh_token.endsWith('AAAA') ? 'BBBA' : 'AAAA'}`;
    t.equal(codeOf(await refresh(forged)), 'invalid_refresh_token');
  }
  t.equal((await home('GET', '/v1/me', bearer(token))).statusCode, 200);

  const { clientId, basic } = await oauth.confidential('counted');
  const introspect = (headers: Record<string, string>, form = {}) =>
    oauth.send('/oauth/introspect', { token: 'x', ...form }, headers);
  for (let i = 0; i < 5; i++) await introspect({}, { client_id: clientId, client_secret: 'a guess' });
  for (let i = 0; i < 5; i++) await oauth.send('/oauth/revoke', { token: 'x', client_id: clientId });
  t.strictSame(await statuses(3, () => introspect(basic)), [200, 200, 429]);
  isTooMany(t, await introspect(basic), '/oauth/introspect');
});

t.test('a client that proves who it is is counted in place of its address', async (t) => {
  const { oauth, get } = await start(t, { LIMIT_REQUESTS: '2', LIMIT_CLIENT_REQUESTS: '5' });
  const { basic } = await oauth.confidential('backend', { scopes: ['revocations:read'] });
  const introspect = () => oauth.send('/oauth/introspect', { token: 'x' }, basic);
  const token = await oauth.tokenOf(basic, { scope: 'revocations:read' });
  const answer = await introspect();
  t.equal(answer.headers.ratelimit, '"client";r=3;t=60');
  t.equal(
    (await get('/v1/revocations', token)).headers.ratelimit,
    '"client";r=2;t=60',
    'its own token is its own, too',
  );
  t.strictSame(await statuses(3, introspect), [200, 200, 429]);
  t.strictSame(await statuses(3, () => get('/v1/me')), [401, 401, 429], 'nothing of it was used up by the client');
});

t.test('without a limit for clients, one that proves who it is has none, and not that of its address', async (t) => {
  const { oauth, home } = await start(t, { LIMIT_REQUESTS: '2' });
  const { basic } = await oauth.confidential('unlimited');
  const introspect = () => oauth.send('/oauth/introspect', { token: 'x' }, basic);
  t.strictSame(await statuses(5, introspect), [200, 200, 200, 200, 200]);
  t.equal((await introspect()).headers.ratelimit, undefined);
  t.strictSame(await statuses(3, () => home('GET', '/v1/me')), [401, 401, 429], 'others have theirs');
});

t.test('a gateway’s check counts the session alone, by a limit of its own', async (t) => {
  const limits = { LIMIT_REQUESTS: '2', LIMIT_SESSION_REQUESTS: '2', LIMIT_CLIENT_REQUESTS: '2', LIMIT_CHECKS: '4' };
  const { home, person, oauth } = await start(t, limits);
  const { access_token: token } = await person();
  const check = (token: string) => home('GET', '/v1/authorize?audience=api', bearer(token));
  t.equal((await check(token)).headers.ratelimit, '"check";r=3;t=60');
  t.strictSame(await statuses(4, () => check(token)), [200, 200, 200, 429]);
  t.equal((await check((await person()).access_token)).statusCode, 200, 'another session passes');
  t.equal((await home('GET', '/v1/me', bearer(token))).statusCode, 200, 'and here it is counted apart');
  const own = await oauth.tokenOf((await oauth.confidential('machine')).basic);
  t.strictSame(new Set(await statuses(10, () => check(own))), new Set([200]), 'a service’s own token is not counted');
});

t.test('each limit can be turned off, and by default a page may load a hundred things at once', async (t) => {
  const off = await start(t);
  const { access_token: token } = await off.person();
  const { headers } = await off.home('GET', '/v1/me', bearer(token));
  t.strictSame([headers.ratelimit, headers['ratelimit-policy']], [undefined, undefined]);
  const defaults = { LIMIT_REQUESTS: '', LIMIT_CLIENT_REQUESTS: '', LIMIT_SESSION_REQUESTS: '', LIMIT_CHECKS: '' };
  const service = await start(t, defaults);
  const page = await service.person();
  const load = Array.from({ length: 100 }, () =>
    service.home('GET', '/v1/authorize?audience=api', bearer(page.access_token)),
  );
  t.strictSame(new Set((await Promise.all(load)).map(({ statusCode }) => statusCode)), new Set([200]));
});
