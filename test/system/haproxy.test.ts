/**
 * A real HAProxy, configured as in examples/gateway/haproxy, before a server that knows nothing of tokens. What it refuses and
 * drops, as nginx and Caddy do: gateway-strictness.test.ts.
 */
import t from 'tap';
import { startHaproxy, withoutHaproxy } from '../support/haproxy.js';
import { ask, type PlainAnswer, startPlainServer } from '../support/plain-servers.js';
import { noteSecret } from '../support/run-log.js';
import { PASSWORD, rowOf, startService } from '../support/service.js';
import { claimsOf, slidingOf } from '../support/sliding.js';

const ORIGIN = 'https://app.example.com';
/** Longer than what HAProxy keeps free for headers, unless told otherwise. */
const ROLES = Array.from({ length: 300 }, (_, i) => `role-${i}`).join(' ');
const IDENTITY = {
  'x-auth-subject': 'ada',
  'x-auth-session': 's1',
  'x-auth-client': 'default',
  'x-auth-scope': '',
  'x-auth-roles': ROLES,
};
const RENEWED = 'n'.repeat(2000);
const PROBLEM = { 'content-type': 'application/problem+json' };

/** What the check may answer, by the token: also what Keyturn itself never would. */
const CHECKS: Readonly<Record<string, PlainAnswer>> = {
  good: { headers: IDENTITY },
  renewed: { headers: { ...IDENTITY, jwt: RENEWED } },
  forbidden: {
    status: 403,
    headers: { ...PROBLEM, 'www-authenticate': 'Bearer realm="keyturn", error="insufficient_scope"' },
    body: '{"code":"insufficient_scope"}',
  },
  'a bad question': { status: 400 },
  'too many': { status: 429, headers: { 'retry-after': '60' } },
  unknown: { status: 503, headers: { 'retry-after': '5' } },
  broken: { status: 500 },
  elsewhere: { status: 302, headers: { location: '/' } },
  'no content': { status: 204, headers: IDENTITY },
  'somebody else': { status: 200 },
  silent: { isLost: true },
};
const MISSING: PlainAnswer = {
  status: 401,
  headers: { ...PROBLEM, 'www-authenticate': 'Bearer realm="keyturn"' },
  body: '{"code":"token_missing"}',
};
const isIdentity = (name: string) => /^x[^a-z0-9]auth/i.test(name);

t.test('with a stand-in for Keyturn', { skip: withoutHaproxy }, async (t) => {
  const keyturn = await startPlainServer(t, ({ method, url, headers }) => {
    if (url === '/readyz') return {};
    const cors = headers.origin === ORIGIN ? { 'access-control-allow-origin': ORIGIN } : {};
    if (method === 'OPTIONS') return { status: 204, headers: cors };
    if (!url.startsWith('/v1/authorize?')) return { body: `Keyturn was asked for ${url}` };
    if (url.includes('&scope=orders:write')) return CHECKS.forbidden ?? {};
    const answer = CHECKS[headers.authorization?.replace(/^Bearer /, '') ?? ''] ?? MISSING;
    return { ...answer, headers: { vary: 'Origin', ...cors, ...answer.headers } };
  });
  const backend = await startPlainServer(t, ({ url }) => ({
    status: Number(/status=(\d+)/.exec(url)?.[1] ?? 200),
    headers: { 'access-control-allow-origin': '*', 'cache-control': 'public', 'x-from': 'backend' },
    // Fills the buffer to which the renewed token is added.
    body: 'b'.repeat(100_000),
  }));
  const port = await startHaproxy(t, { keyturn: keyturn.port, backend: backend.port });
  const checks = () => keyturn.seen.filter(({ url }) => url.startsWith('/v1/authorize'));
  const as = (token: string, more = {}) => ({ authorization: `Bearer ${token}`, ...more });
  t.beforeEach(() => {
    keyturn.seen.length = 0;
    backend.seen.length = 0;
  });

  t.test('the backend learns who it is, and nothing else does it learn of the token', async (t) => {
    const headers = as('good', { origin: ORIGIN, 'x-request-id': 'r-1', cookie: 'a=b' });
    const response = await ask(port, '/orders?q=%2e', { method: 'POST', headers, body: 'bread' });
    t.match(response, { status: 200, headers: { 'x-from': 'backend' } });
    const [seen] = backend.seen;
    t.match(seen, { method: 'POST', url: '/orders?q=%2e', body: 'bread', headers: { ...IDENTITY, cookie: 'a=b' } });
    t.notOk(seen?.headers.authorization);
    t.equal(checks().length, 1);
    t.match(checks()[0], { method: 'GET', url: '/v1/authorize?audience=api', body: '' });
    t.strictSame(
      Object.keys(checks()[0]?.headers ?? {}).sort(),
      ['accept', 'authorization', 'host', 'origin', 'user-agent', 'x-forwarded-for', 'x-request-id'],
      'what the check does not need stays here',
    );
  });

  t.test('identity from outside does not arrive, however it is spelled', async (t) => {
    const forged = [
      'X-Auth-Subject',
      'X_Auth_Subject',
      'x-auth_roles',
      'X_AUTH-SCOPE',
      'X.Auth.Client',
      'X-Auth-Admin',
    ];
    const headers = Object.fromEntries(forged.map((name) => [name, ['mallory', 'mallory']]));
    await ask(port, '/', { headers: as('good', { ...headers, connection: 'x-auth-subject, x-auth-roles' }) });
    const names = backend.seen[0]?.rawHeaders.filter((_, i) => i % 2 === 0) ?? [];
    t.strictSame(names.filter(isIdentity).sort(), Object.keys(IDENTITY).sort());
    t.match(backend.seen[0]?.headers, IDENTITY);
    t.notMatch(backend.seen[0]?.headers.connection, /auth/, 'which would take them away at the next proxy');
    t.notMatch(JSON.stringify(backend.seen), /mallory/);
  });

  t.test('a request can become a WebSocket, and nothing else', async (t) => {
    const key = ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version', '13'];
    const bearer = ['Host', 'api', 'Authorization', 'Bearer good', 'Connection', 'Upgrade, HTTP2-Settings'];
    const upgradeTo = (...upgrade: string[]) => ask(port, '/', { headers: [...bearer, ...key, ...upgrade] });
    await upgradeTo('Upgrade', 'WebSocket');
    t.equal(backend.seen.pop()?.headers.upgrade, 'websocket');
    await upgradeTo('Upgrade', 'h2c');
    await upgradeTo('Upgrade', 'h2c, websocket');
    await upgradeTo('Upgrade', 'websocket', 'Upgrade', 'h2c');
    t.ok(backend.seen.length > 0);
    t.notMatch(JSON.stringify(backend.seen), /h2c/);
  });

  t.test('where it comes from is what HAProxy saw', async (t) => {
    await ask(port, '/', { headers: as('good', { 'x-forwarded-for': '192.0.2.1', 'x-real-ip': '192.0.2.1' }) });
    await ask(port, '/', { headers: as('good', { forwarded: 'for=192.0.2.1' }) });
    for (const { headers } of [...checks(), ...backend.seen]) {
      t.equal(headers['x-forwarded-for'], '127.0.0.1');
      t.notMatch(JSON.stringify(headers), '192.0.2.1');
    }
  });

  t.test('a renewed token reaches the client, whatever the backend answers', async (t) => {
    for (const status of [200, 404, 500]) {
      const { headers, ...rest } = await ask(port, `/?status=${status}`, { headers: as('renewed') });
      t.match(rest, { status, body: /^b{100000}$/ });
      t.match(headers, { jwt: RENEWED, 'cache-control': 'no-store', 'x-from': 'backend' });
    }
    t.notMatch(JSON.stringify(backend.seen), RENEWED);
    t.match((await ask(port, '/', { headers: as('good') })).headers, { jwt: undefined, 'cache-control': 'public' });
  });

  t.test('401 and 403 are Keyturn’s, and nothing is let through', async (t) => {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'PROPFIND']) {
      const { status, headers } = await ask(port, '/', { method });
      t.match({ status, headers }, { status: 401, headers: { 'www-authenticate': 'Bearer realm="keyturn"' } }, method);
    }
    t.match(await ask(port, '/', { headers: { origin: ORIGIN } }), {
      status: 401,
      headers: { ...PROBLEM, 'access-control-allow-origin': ORIGIN, vary: 'Origin' },
      body: MISSING.body,
    });
    t.match(await ask(port, '/', { headers: as('forbidden') }), {
      status: 403,
      headers: { ...PROBLEM, 'www-authenticate': /insufficient_scope/ },
      body: '{"code":"insufficient_scope"}',
    });
    t.strictSame(backend.seen, []);
  });

  t.test('any other answer of the check is 503, and nothing is let through', async (t) => {
    const others = Object.keys(CHECKS).filter((name) => !['good', 'renewed', 'forbidden'].includes(name));
    await Promise.all(
      others.map(async (name) => {
        const response = await ask(port, '/', { headers: as(name) });
        t.match(response, { status: 503, headers: { ...PROBLEM, 'retry-after': /^\d+$/ } }, name);
      }),
    );
    t.match(checks().filter(({ headers }) => headers.authorization === 'Bearer silent').length, 1, 'asked once');
    t.strictSame(backend.seen, []);
  });

  t.test('two Authorization headers are both shown to Keyturn', async (t) => {
    await ask(port, '/', {
      headers: ['Host', 'api', 'Authorization', 'Bearer good', 'Authorization', 'Bearer renewed'],
    });
    const values = checks()[0]?.rawHeaders.filter((_, i, all) => all[i - 1]?.toLowerCase() === 'authorization');
    t.strictSame(values?.sort(), ['Bearer good', 'Bearer renewed']);
  });

  t.test('preflights are for Keyturn, and so is who may read an answer', async (t) => {
    const preflight = { origin: ORIGIN, 'access-control-request-method': 'GET' };
    t.match(await ask(port, '/orders', { method: 'OPTIONS', headers: preflight }), {
      status: 204,
      headers: { 'access-control-allow-origin': ORIGIN },
    });
    t.match(keyturn.seen.at(-1), { method: 'OPTIONS', url: '/v1/preflight' });
    t.match(await ask(port, '/', { method: 'POST', headers: preflight }), { status: 401 }, 'which is OPTIONS');
    t.match(await ask(port, '/', { method: 'OPTIONS', headers: { origin: ORIGIN } }), { status: 401 });
    t.strictSame(backend.seen, []);

    const known = await ask(port, '/', { headers: as('good', { origin: ORIGIN }) });
    t.match(known.headers, { 'access-control-allow-origin': ORIGIN, vary: 'Origin' });
    const foreign = await ask(port, '/', { headers: as('good', { origin: 'https://mallory.example' }) });
    t.match(foreign, { status: 200, headers: { 'access-control-allow-origin': undefined } });
  });

  t.test('of Keyturn a browser gets what it needs, and that is no way to the backend', async (t) => {
    const login = await ask(port, '/auth/v1/login', { method: 'POST', body: '{}' });
    t.equal(login.body, 'Keyturn was asked for /v1/login');
    const others = ['/auth', '/auth/', '/auth/v1/admin/users', '/auth/v1/loginx', '/AUTH/v1/me'];
    for (const path of [...others, '/auth/v1/m%65']) t.match(await ask(port, path), { status: 401 }, path);
    for (const path of [
      '/auth/v1/me/../../../orders',
      '/auth/v1/me/..%2f..%2fadmin',
      '/auth/../orders',
      '//auth/v1/me',
    ])
      t.match(await ask(port, path), { status: 400 }, path);
    t.strictSame(backend.seen, []);
  });
});

t.test('with Keyturn', { skip: withoutHaproxy }, async (t) => {
  const service = await startService(t, { env: { TRUST_PROXY: '127.0.0.1' } });
  const token = await slidingOf(service).begin({ scopes: ['orders:read'], corsOrigins: [ORIGIN] });
  const user = String((await rowOf(service.database, 'users')).id);
  const url = new URL(await service.app.listen({ host: '127.0.0.1', port: 0 }));
  const backend = await startPlainServer(t, () => ({}));
  const port = await startHaproxy(t, { keyturn: Number(url.port), backend: backend.port });

  async function as(bearer: string, path = '/', method = 'GET') {
    const { headers, ...rest } = await ask(port, path, { method, headers: { authorization: `Bearer ${bearer}` } });
    noteSecret(headers.jwt);
    return { ...rest, headers, renewed: typeof headers.jwt === 'string' ? headers.jwt : '' };
  }

  /** As its polls do in a running service: it believes nothing that it has not looked at for so long. */
  async function wait(minutes: number): Promise<void> {
    service.clock.advance(minutes * 60);
    await service.services.keys.load();
    await service.services.revocations.follow();
  }

  t.test('a session slides while it is used, and ends 30 minutes after its last request', async (t) => {
    t.match(await as(token), { status: 200, renewed: '' });
    const { sid } = claimsOf(token);
    const who = { 'x-auth-subject': user, 'x-auth-session': sid, 'x-auth-client': 'web', 'x-auth-roles': '' };
    t.match(backend.seen.at(-1)?.headers, who);

    let latest = token;
    for (let i = 0; i < 3; i++) {
      await wait(25);
      const [first, second] = await Promise.all([as(latest), as(latest)]);
      t.match([first.status, second.status], [200, 200], 'requests at once do not end one another');
      t.equal(claimsOf(first.renewed).sid, sid);
      latest = second.renewed;
    }
    await wait(31);
    const before = backend.seen.length;
    t.match(await as(latest), { status: 401, headers: { 'www-authenticate': /token_expired/ }, renewed: '' });
    t.equal(backend.seen.length, before);
  });

  t.test('two tokens are none', async (t) => {
    const fresh = await slidingOf(service).login();
    const twice = ['Host', 'api', 'Authorization', `Bearer ${fresh}`, 'Authorization', `Bearer ${fresh}`];
    const before = backend.seen.length;
    t.equal((await ask(port, '/', { headers: twice })).status, 503);
    t.equal((await as(fresh)).status, 200);
    t.equal(backend.seen.length, before + 1);
  });

  t.test('login and logout by way of /auth/, and a page of an allowed origin may read the token', async (t) => {
    const login = await ask(port, '/auth/v1/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: ORIGIN, 'x-forwarded-for': '192.0.2.1' },
      body: JSON.stringify({ email: 'ada@example.com', password: PASSWORD, client_id: 'web' }),
    });
    const { jwt } = login.headers;
    if (typeof jwt !== 'string') return t.fail('no token');
    noteSecret(jwt);
    t.match(login.headers, { 'access-control-allow-origin': ORIGIN, 'access-control-expose-headers': /\bjwt\b/ });
    t.equal((await as(jwt)).status, 200);
    t.equal((await as(jwt, '/auth/v1/logout', 'POST')).status, 204);
    t.match(await as(jwt), { status: 401, headers: { 'www-authenticate': /token_revoked/ } });
  });

  t.test('where Keyturn is gone nothing is let through', async (t) => {
    const alive = await slidingOf(service).login();
    t.equal((await as(alive)).status, 200);
    await service.app.close();
    const before = backend.seen.length;
    for (const path of ['/', '/auth/v1/me'])
      t.match(await as(alive, path), { status: 503, headers: { 'retry-after': '1' } }, path);
    t.equal(backend.seen.length, before);
  });
});
