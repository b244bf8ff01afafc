/** Which pages may read answers (the Fetch standard's CORS protocol): those of origins that are configured, exactly. */
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { AT_THE_CONSOLE } from '../support/administrator.js';
import { fastDatabase } from '../support/databases.js';
import { startService, type TestService, testKeks } from '../support/service.js';

const database = await fastDatabase(t);
const keks = testKeks();
const start = (t: Test, env: Record<string, string> = {}) => startService(t, { database, keks, env });

const ask = ({ call }: TestService, origin: string, url = '/v1/me') =>
  call({ method: 'GET', url, headers: { origin } });
const preflight = ({ call }: TestService, origin: string, url = '/v1/refresh') =>
  call({
    method: 'OPTIONS',
    url,
    headers: {
      ...{ origin, 'access-control-request-method': 'POST' },
      'access-control-request-headers': 'authorization,content-type,idempotency-key',
    },
  });
const allowed = ({ headers }: LightMyRequestResponse) => headers['access-control-allow-origin'];
const listed = (value: unknown): string[] => String(value).toLowerCase().split(/, */);

const own = ['https://app.example.com', 'https://admin.example.com:8443'];
const foreign = [
  ...['https://evil.example', 'http://app.example.com', 'https://app.example.com.evil.example', 'null', '*', ''],
  ...[
    'https://APP.example.com',
    'https://app.example.com:443',
    'https://admin.example.com',
    'https://xapp.example.com',
  ],
];

t.test('only the origins that are listed may read answers', async (t) => {
  const service = await start(t, { CORS_ORIGINS: own.join(',') });
  for (const origin of own) {
    t.equal(allowed(await ask(service, origin)), origin);
    const answer = await preflight(service, origin);
    t.equal(answer.statusCode, 204);
    t.equal(allowed(answer), origin);
    t.match(answer.headers['access-control-allow-methods'], /\bPOST\b/);
    t.same(listed(answer.headers['access-control-allow-headers']), [
      'authorization',
      'content-type',
      'idempotency-key',
    ]);
    t.ok(Number(answer.headers['access-control-max-age']) >= 600, 'and is remembered');
  }
  for (const origin of foreign) {
    for (const answer of [await ask(service, origin), await preflight(service, origin)]) {
      t.equal(allowed(answer), undefined, origin);
      t.equal(answer.headers['access-control-allow-methods'], undefined, origin);
    }
    t.equal((await preflight(service, origin)).statusCode, 405, origin);
  }
  t.equal(allowed(await service.call({ method: 'GET', url: '/livez' })), undefined);
});

t.test('without any origin no page may read answers', async (t) => {
  const service = await start(t);
  t.equal(allowed(await ask(service, 'https://app.example.com', '/livez')), undefined);
  t.equal(allowed(await ask(service, 'null', '/livez')), undefined);
});

t.test('no answer lets a page use credentials, nor names all origins', async (t) => {
  const service = await start(t, { CORS_ORIGINS: own.join(',') });
  for (const origin of [...own, ...foreign])
    for (const { headers } of [await ask(service, origin), await preflight(service, origin)]) {
      t.equal(headers['access-control-allow-credentials'], undefined);
      t.not(headers['access-control-allow-origin'], '*');
    }
});

t.test('caches keep the answers to different origins apart', async (t) => {
  const service = await start(t, { CORS_ORIGINS: own.join(',') });
  const url = '/.well-known/jwks.json';
  const answers = [
    ...[await ask(service, own[0] ?? '', url), await ask(service, 'https://evil.example', url)],
    ...[await service.call({ method: 'GET', url }), await preflight(service, own[0] ?? '')],
    await service.call({ method: 'GET', url, headers: { 'if-none-match': '*' } }),
  ];
  for (const { headers } of answers) t.ok(listed(headers.vary).includes('origin'));
  t.ok(listed((await preflight(service, own[0] ?? '')).headers.vary).includes('access-control-request-headers'));
});

t.test('a page may read what it needs of the headers, of refusals too', async (t) => {
  const service = await start(t, { CORS_ORIGINS: own.join(','), ACCESS_TOKEN_HEADER: 'X-Session-Token' });
  const expected = ['x-session-token', 'keyturn-refresh-outcome', 'retry-after', 'www-authenticate', 'x-request-id'];
  const limits = ['ratelimit', 'ratelimit-policy'];
  for (const url of ['/livez', '/v1/me', '/v1/authorize?audience=api', '/oauth/token']) {
    const answer = await ask(service, own[0] ?? '', url);
    t.equal(allowed(answer), own[0], `${url} ${answer.statusCode}`);
    t.same(listed(answer.headers['access-control-expose-headers']).sort(), [...expected, ...limits].sort());
  }
  const plain = await start(t, { CORS_ORIGINS: own.join(',') });
  t.ok(listed((await ask(plain, own[0] ?? '')).headers['access-control-expose-headers']).includes('jwt'));
});

t.test('the origins of a client count as long as they are its own', async (t) => {
  const service = await start(t);
  const { clients } = service.services.administration;
  const [shop, blog] = ['https://shop.example', 'https://blog.example'];
  const fields = { name: 'Shop', type: 'public', audiences: ['api'] } as const;
  await clients.create({ ...fields, clientId: 'shop', corsOrigins: [shop] }, AT_THE_CONSOLE);
  t.equal(allowed(await ask(service, shop)), shop);
  t.equal((await preflight(service, shop)).statusCode, 204);
  t.equal(allowed(await ask(service, blog)), undefined);
  await clients.update('shop', { corsOrigins: [blog] }, AT_THE_CONSOLE);
  t.same([allowed(await ask(service, shop)), allowed(await ask(service, blog))], [undefined, blog]);
  await clients.delete('shop', AT_THE_CONSOLE);
  t.equal(allowed(await ask(service, blog)), undefined);
});

t.test('preflights are answered at routes, and for gateways at one path beside them', async (t) => {
  const service = await start(t, { CORS_ORIGINS: own.join(','), AUTHORIZE_AUDIENCE: 'api' });
  for (const url of ['/v1/preflight', '/v1/me', '/v1/login', '/.well-known/jwks.json'])
    t.equal((await preflight(service, own[0] ?? '', url)).statusCode, 204, url);
  const none = ['/orders/5', '/v1/authorize/', '/v1/authorize/orders', '/v1/authorize/original', '/v1/authorize;x'];
  for (const url of [...none, '/V1/authorize', '/v1//authorize', '/v1/preflight?x=1', '/v1/authorize/original*'])
    t.equal((await preflight(service, own[0] ?? '', url)).statusCode, 404, url);
  t.equal((await preflight(service, own[0] ?? '', '/v1/authorize?audience=api')).statusCode, 401);
});
