/** The check of a gateway: who may pass, and what a proxy is told of him. */
import type { HTTPMethods } from 'fastify';
import t, { type Test } from 'tap';
import type { UserId } from '../../src/domain/types.js';
import { AT_THE_CONSOLE } from '../support/administrator.js';
import { fastDatabase } from '../support/databases.js';
import { createForge } from '../support/forge.js';
import { oauthOf } from '../support/oauth.js';
import { codeOf, startService, testKeks } from '../support/service.js';
import { watched } from '../support/watched-database.js';
import { answerOf, faultsOf } from './refusals.js';

const database = watched(await fastDatabase(t));
const keks = testKeks();
const path = '/v1/authorize?audience=api';
const names = ['x-auth-subject', 'x-auth-session', 'x-auth-client', 'x-auth-scope', 'x-auth-roles'];

let people = 0;
async function start(t: Test, env: Record<string, string> = {}) {
  const service = await startService(t, { database, keks, env });
  const email = `ada${people++}@example.com`;
  const id = (await service.register(email)) as UserId;
  const { access_token: token, session_id: session } = await service.login(email);
  const ask = (method: HTTPMethods, url = path, headers: Record<string, string> = {}, payload?: string) =>
    service.call({
      method: method as 'GET',
      url,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
  return { ...service, service, email, id, token, session, ask };
}

t.test('a good token passes, and the proxy is told whose it is', async (t) => {
  const { get, token, id, session, logs } = await start(t);
  const answer = await get(path, token);
  t.equal(answer.statusCode, 200);
  t.equal(answer.body, '');
  t.same(
    names.map((name) => answer.headers[name]),
    [id, session, 'default', '', ''],
  );
  t.equal(answer.headers['cache-control'], 'no-store');
  t.equal(answer.headers.jwt, undefined, 'of a client with tokens in the body nothing is renewed');
  t.match(logs.at(-1), { path: '/v1/authorize', status: 200, sub: id, sid: session, client_id: 'default' });
});

t.test('it takes any method, and reads no body', async (t) => {
  const { app, ask } = await start(t);
  for (const method of app.supportedMethods.filter((name) => name !== 'CONNECT') as HTTPMethods[]) {
    const answer = await ask(method);
    t.equal(answer.statusCode, 200, method);
    t.equal(answer.headers['x-auth-client'], 'default', method);
  }
  const bodies: [Record<string, string>, string][] = [
    [{ 'content-type': 'application/json' }, '{ this is no JSON'],
    [{ 'content-type': 'image/png' }, 'x'.repeat(100_000)],
    [{ 'content-type': 'not a type' }, 'x'],
    [{}, 'x'],
  ];
  for (const [headers, body] of bodies)
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const)
      t.equal((await ask(method, path, headers, body)).statusCode, 200, `${method} ${headers['content-type']}`);
});

t.test('a preflight is not answered: its 204 would let something through', async (t) => {
  const origin = 'https://app.example.com';
  const { call } = await start(t, { CORS_ORIGINS: origin, AUTHORIZE_AUDIENCE: 'api' });
  for (const url of [path, '/v1/authorize', '/v1/authorize/original/orders']) {
    const headers = { origin, 'access-control-request-method': 'POST' };
    const answer = await call({ method: 'OPTIONS', url, headers });
    t.same([answer.statusCode, codeOf(answer)], [401, 'token_missing'], url);
  }
});

t.test('the common path asks no database', async (t) => {
  const { app, token, service } = await start(t);
  await service.services.revocations.follow();
  database.asked();
  database.setAway(true);
  t.teardown(() => database.setAway(false));
  for (let i = 0; i < 3; i++) {
    const answer = await app.inject({ method: 'GET', url: path, headers: { authorization: `Bearer ${token}` } });
    t.equal(answer.statusCode, 200);
  }
  t.same(database.asked(), []);
});

t.test('it has to be said which audience is meant, once', async (t) => {
  const { get, token } = await start(t);
  for (const query of ['', '?', '?audience=', '?audience=api&audience=api', '?audience=&audience=api', '?scope=x']) {
    const answer = await get(`/v1/authorize${query}`, token);
    t.same([answer.statusCode, codeOf(answer)], [400, 'audience_required'], query);
    t.same(faultsOf(answerOf(answer)), []);
    t.notOk(names.some((name) => name in answer.headers));
  }
  const { get: ask, token: other } = await start(t, { AUTHORIZE_AUDIENCE: 'api' });
  t.equal((await ask('/v1/authorize', other)).statusCode, 200, 'or it is configured');
  t.equal(codeOf(await ask('/v1/authorize?audience=', other)), 'audience_required', 'and not taken back by nothing');
  t.equal(codeOf(await ask('/v1/authorize?audience=a%26b', other)), 'invalid_audience', 'the check goes before it');
  for (const query of ['audience=api&audiences=x', 'audience=api&scope=a&scope=b', 'audience=a%20b'])
    t.equal(codeOf(await ask(`/v1/authorize?${query}`, other)), 'invalid_request', query);
});

t.test('all the scopes that are demanded are needed', async (t) => {
  const { service, post, get, email } = await start(t);
  const fields = { clientId: 'scoped', name: 'Scoped', type: 'public', audiences: ['api'] } as const;
  await service.services.clients.create({ ...fields, scopes: ['orders:read', 'orders:write', 'orders'] });
  const login = await post('/v1/login', {
    ...{ email, password: 'a long walk by the sea', client_id: 'scoped' },
    scope: 'orders:read orders',
  });
  const { access_token: token } = login.json();
  const ask = (scope: string) => get(`${path}&scope=${encodeURIComponent(scope)}`, token);
  for (const scope of ['', ' ', 'orders:read', 'orders', 'orders orders:read', ' orders  orders:read ']) {
    const answer = await ask(scope);
    t.equal(answer.statusCode, 200, `"${scope}"`);
    t.equal(answer.headers['x-auth-scope'], 'orders:read orders');
  }
  for (const scope of ['orders:write', 'orders:read orders:write', 'order', 'ORDERS']) {
    const answer = await ask(scope);
    t.same([answer.statusCode, codeOf(answer)], [403, 'insufficient_scope'], scope);
    t.match(answer.headers['www-authenticate'], /error="insufficient_scope"/);
    t.notOk(names.some((name) => name in answer.headers));
  }
});

t.test('a service’s own token has no session, and says so in every answer', async (t) => {
  const { service, get } = await start(t);
  const { confidential, tokenOf } = oauthOf(service);
  const { basic } = await confidential('billing-a', { scopes: ['invoices:read'] });
  const { headers, statusCode } = await get(`${path}&scope=invoices:read`, await tokenOf(basic));
  t.equal(statusCode, 200);
  t.same(
    names.map((name) => headers[name]),
    ['billing-a', '', 'billing-a', 'invoices:read', ''],
  );
});

t.test('nothing in a token can make another header, or another value of one', async (t) => {
  const { service, get, token } = await start(t);
  const forge = await createForge(service, keks, token);
  const odd = { 'a b': 'a%20b', 'a%20b': 'a%2520b', 'x\r\nX-Auth-Roles: admin': 'x%0D%0AX-Auth-Roles:%20admin' };
  const more = { größe: 'gr%C3%B6%C3%9Fe', '😀': '%F0%9F%98%80', '\u0000\u007f': '%00%7F', 'a,b;c="d"': 'a,b;c="d"' };
  const roles = { ...odd, ...more };
  const forged = forge.token({ claims: { roles: Object.keys(roles), client_id: 'a\r\nb', scope: 'p\nq r' } });
  const { statusCode, headers, body } = await get(path, forged);
  t.equal(body, '');
  t.equal(statusCode, 200);
  t.equal(headers['x-auth-roles'], Object.values(roles).join(' '));
  t.equal(headers['x-auth-client'], 'a%0D%0Ab');
  t.equal(headers['x-auth-scope'], 'p%0Aq r');
});

t.test('a token that is no good does not pass', async (t) => {
  const { service, get, id, token, clock, email } = await start(t);
  const isRefused = async (url: string, bearer: string | undefined, status: number, code: string) => {
    const answer = await get(url, bearer);
    t.same([answer.statusCode, codeOf(answer)], [status, code]);
    t.same(faultsOf(answerOf(answer)), []);
    t.notOk(names.some((name) => name in answer.headers));
  };
  await isRefused(path, undefined, 401, 'token_missing');
  await isRefused(path, 'x', 401, 'token_malformed');
  await isRefused('/v1/authorize?audience=other', token, 401, 'invalid_audience');
  const { access_token: second } = await service.login(email);
  await service.post('/v1/logout', undefined, { authorization: `Bearer ${second}` });
  await isRefused(path, second, 401, 'token_revoked');
  await service.services.administration.users.disable(id, AT_THE_CONSOLE);
  await isRefused(path, token, 401, 'token_revoked');
  clock.advance(3600);
  await isRefused(path, token, 401, 'token_expired');
});

t.test('a path and a query of somebody else behind it are no demand', async (t) => {
  const { ask, token, call } = await start(t, { AUTHORIZE_AUDIENCE: 'api' });
  const original = '/v1/authorize/original';
  for (const rest of ['/', '/orders/5', '/a/b?audience=other&scope=x&audience=y', `/${'x'.repeat(3000)}`, '/ä']) {
    const answer = await ask('POST', encodeURI(original + rest).replaceAll('%25', '%'));
    t.equal(answer.statusCode, 200, rest.slice(0, 40));
  }
  const without = await call({ method: 'GET', url: `${original}/orders` });
  t.same([without.statusCode, codeOf(without)], [401, 'token_missing']);
  const unconfigured = await start(t);
  const answer = await unconfigured.get(`${original}/orders?audience=api`, token);
  t.same([answer.statusCode, codeOf(answer)], [400, 'audience_required']);
});

t.test('checks are not counted with the requests of an address', async (t) => {
  const { app, token } = await start(t, { LIMIT_REQUESTS: '4' });
  const ask = (url: string) => app.inject({ method: 'GET', url, headers: { authorization: `Bearer ${token}` } });
  for (let i = 0; i < 10; i++) t.equal((await ask(path)).statusCode, 200);
  await ask('/v1/me');
  await ask('/v1/me');
  t.equal((await ask('/v1/me')).statusCode, 429, 'others are');
  t.equal((await ask(path)).statusCode, 200);
});
