/**
 * Any backend behind a gateway: real nginx and real Caddy with the configurations of examples/gateway. What they refuse and
 * drop: gateway-strictness.test.ts.
 */
import t, { type Test } from 'tap';
import { bearer, JSON_BODY, login, ORIGIN, refusalOf, startBehindGateways } from '../support/behind-gateways.js';
import { gatewayNames, send, startGateway, withoutGateway } from '../support/gateways.js';

const MINUTE = 60;
const stage = await startBehindGateways(t);
const { userId, asked, arrived, pass, getsNothingThrough } = stage;

/** What both do, by what it says. */
const expectations: Record<string, (t: Test, url: string) => Promise<void>> = {
  async 'who logs in is known to the backend, which sees no token'(t, url) {
    const { status, body, token } = await login(url);
    t.equal(status, 200);
    const { session_id } = JSON.parse(body);
    const headers = [...bearer(token), 'X-Request-Id', 'mine-1'];
    const response = await send(url, '/whoami', { headers });
    t.equal(response.status, 200);
    t.equal(response.headers.jwt, undefined, 'no renewal so soon');
    t.same(JSON.parse(response.body), { user: userId, session: session_id, client: 'web', scopes: [], roles: [] });
    const { headers: seen } = arrived.at(-1) ?? {};
    t.match(seen, { authorization: undefined, 'x-request-id': 'mine-1', 'x-forwarded-for': '127.0.0.1' });
    t.match(asked.at(-1), { method: 'GET', headers: { 'x-request-id': 'mine-1', 'x-forwarded-for': '127.0.0.1' } });
  },

  async 'a renewed token reaches the client, whatever the backend answers'(t, url) {
    const { token } = await login(url);
    await pass(2 * MINUTE);
    for (const [status, body, path, sent] of [
      [200, /"user":/, '/whoami', {}],
      [404, /^\{"error":"not found"\}\n$/, '/nothing', {}],
      [500, /^\{"error":"something went wrong"\}\n$/, '/orders', { method: 'POST', body: 'no JSON' }],
    ] as const) {
      const response = await send(url, path, { ...sent, headers: bearer(token) });
      t.match(response, { status, body, headers: { jwt: /^ey/, 'cache-control': /no-store/ } });
      const next = String(response.headers.jwt);
      t.not(next, token);
      t.match(await send(url, '/whoami', { headers: bearer(next) }), { status: 200, headers: { jwt: undefined } });
    }
    const head = await send(url, '/whoami', { method: 'HEAD', headers: bearer(token) });
    t.match(head, { status: 200, body: '', headers: { jwt: /^ey/ } });
  },

  async 'a backend that is down does not cost the client its renewed token'(t, url) {
    const { token } = await login(url);
    await pass(2 * MINUTE);
    const bringBack = await stage.takeBackendAway();
    t.match(await send(url, '/whoami', { headers: bearer(token) }), { status: 502, headers: { jwt: /^ey/ } });
    await bringBack();
    t.match(await send(url, '/whoami', { headers: bearer(token) }), { status: 200, headers: { jwt: /^ey/ } });
  },

  async 'requests at one time with one token are all good, and so is what each of them gets'(t, url) {
    const { token } = await login(url);
    await pass(2 * MINUTE);
    const whoami = (headers: string[]) => send(url, '/whoami', { headers });
    const responses = await Promise.all(Array.from({ length: 8 }, () => whoami(bearer(token))));
    const renewed = responses.map(({ headers }) => String(headers.jwt));
    const again = await Promise.all([token, ...renewed].map((one) => whoami(bearer(one))));
    t.same(new Set([...responses, ...again].map(({ status }) => status)), new Set([200]));
  },

  async 'a session lives while it is used, and ends after 30 minutes in which it is not'(t, url) {
    let { token } = await login(url);
    for (let uses = 0; uses < 3; uses++) {
      await pass(29 * MINUTE);
      const { status, headers } = await send(url, '/whoami', { headers: bearer(token) });
      t.equal(status, 200);
      token = String(headers.jwt);
    }
    await pass(31 * MINUTE);
    const before = arrived.length;
    t.match(refusalOf(await send(url, '/whoami', { headers: bearer(token) })), {
      status: 401,
      code: 'token_expired',
      challenge: 'Bearer realm="keyturn", error="invalid_token", error_description="token_expired"',
    });
    t.equal(arrived.length, before);
  },

  async 'logging out ends it at once'(t, url) {
    const { token } = await login(url);
    await pass(2 * MINUTE);
    const renewed = String((await send(url, '/whoami', { headers: bearer(token) })).headers.jwt);
    const logout = await send(url, '/auth/v1/logout', { method: 'POST', headers: bearer(renewed) });
    t.equal(logout.status, 204);
    const before = arrived.length;
    for (const one of [token, renewed]) {
      t.match(refusalOf(await send(url, '/whoami', { headers: bearer(one) })), { status: 401, code: 'token_revoked' });
    }
    t.equal(arrived.length, before);
  },

  async 'a location that demands a scope lets in nobody without it, however the path is written'(t, url) {
    const { token } = await login(url);
    t.match(refusalOf(await send(url, '/orders/archive', { headers: bearer(token) })), {
      status: 403,
      code: 'insufficient_scope',
      challenge: /error="insufficient_scope"/,
    });
    const paths = ['/orders/archive/1?x=/public', '/orders/%61rchive', '/Orders/Archive', '//orders//archive'];
    const headers = bearer(token);
    await getsNothingThrough(t, url, Object.fromEntries(paths.map((path) => [path, { path, headers }])));

    const { token: scoped } = await login(url, 'archivist');
    const before = arrived.length;
    t.equal((await send(url, '/orders/archive', { headers: bearer(scoped) })).status, 404, "the backend's own answer");
    t.match(arrived[before], { url: '/orders/archive', headers: { 'x-auth-scope': 'orders:write' } });
  },

  async 'who has no good token gets nothing through'(t, url) {
    const { token } = await login(url);
    const upgrade = (to: string) => ['Connection', 'Upgrade', 'Upgrade', to];
    const preflight = ['Origin', ORIGIN, 'Access-Control-Request-Method', 'POST'];
    await getsNothingThrough(t, url, {
      'no token': {},
      'HEAD without': { method: 'HEAD' },
      'POST without': { method: 'POST', body: '{"item":"tea"}' },
      'OPTIONS without': { method: 'OPTIONS' },
      'an odd method': { method: 'PROPFIND' },
      'a token that is none': { headers: bearer('nonsense') },
      'a token that was changed': { headers: bearer(`${token.slice(0, -4)}AAAA`) },
      'another scheme': { headers: ['Authorization', `Basic ${token}`] },
      'an empty header': { headers: ['Authorization', ''] },
      'a token in the query': { path: `/whoami?access_token=${token}` },
      'a token in a cookie': { headers: ['Cookie', `jwt=${token}`] },
      'two tokens, of which one is good': { headers: [...bearer(token), ...bearer('nonsense')] },
      'two tokens, of which the second is good': { headers: [...bearer('nonsense'), ...bearer(token)] },
      'a path that leads out': { path: '/auth/v1/login/../../../whoami' },
      'a path with coded slashes': { path: '/auth%2fv1%2flogin%2f..%2f..%2f..%2fwhoami' },
      'a very long path': { path: `/${'a'.repeat(20_000)}` },
      'a very long query': { path: `/whoami?${'a'.repeat(7000)}` },
      'a preflight of nowhere': {
        method: 'OPTIONS',
        headers: ['Origin', 'https://evil.example.com', ...preflight.slice(2)],
      },
      'a method override': { headers: ['X-HTTP-Method-Override', 'OPTIONS', ...preflight] },
      'a WebSocket': { headers: upgrade('websocket') },
      'an upgrade to HTTP/2': { headers: upgrade('h2c') },
      'what is inside the gateway': { path: '/_keyturn/check/audience=api', headers: bearer('nonsense') },
    });
  },

  async 'what a client says of itself is stripped, in any spelling'(t, url) {
    const { token } = await login(url);
    const names = ['Subject', 'Session', 'Client', 'Scope', 'Roles'];
    const spellings = ['X-Auth-', 'X_Auth_', 'x-auth_', 'X_Auth-', 'x_AUTH_'];
    const forged = names.flatMap((name) => spellings.flatMap((start) => [start + name, 'evil']));
    const others = ['X-Forwarded-For', '203.0.113.7', 'Forwarded', 'for=203.0.113.7', 'X-Real-Ip', '203.0.113.7'];
    const id = ['X-Request-Id', 'evil\t"}'];
    // Connection names what a proxy drops: not what the gateway itself has set.
    const named = ['X-Auth-Subject', 'X-Forwarded-For', 'X-Real-Ip', 'X-Request-Id', 'Upgrade'];
    const connection = ['Connection', `close, ${named.join(', ')}`, 'Upgrade', 'h2c'];
    const headers = [...bearer(token), ...forged, ...forged, ...others, ...id, ...connection];
    t.match(await send(url, '/whoami', { headers }), { status: 200 });
    const { headers: seen = {}, rawHeaders = [] } = arrived.at(-1) ?? {};
    t.match(seen, {
      'x-auth-subject': userId,
      'x-auth-client': 'web',
      'x-forwarded-for': '127.0.0.1',
      'x-real-ip': '127.0.0.1',
      'x-request-id': /^[0-9a-f-]{32,36}$/,
      upgrade: undefined,
    });
    t.notMatch(rawHeaders.join('\n'), /evil|203\.0\.113\.7/);
    const identities = rawHeaders.filter((name) => /^x[-_]auth/i.test(name)).map((name) => name.toLowerCase());
    t.same(identities, [...new Set(identities)], 'each once');
  },

  async 'a body reaches the backend whole, and Keyturn never'(t, url) {
    const { token } = await login(url);
    const body = JSON.stringify({ item: 'tea'.repeat(50_000) });
    const before = asked.length;
    const headers = [...bearer(token), ...JSON_BODY, 'Cookie', 'theme=dark'];
    const response = await send(url, '/orders', { method: 'POST', headers, body });
    t.match(response, { status: 201 });
    t.ok(response.body === `${body}\n`);
    const checks = asked.slice(before);
    t.equal(checks.length, 1, 'it was checked once');
    t.match(checks[0], { method: 'GET', url: '/v1/authorize?audience=api' });
    for (const name of ['content-length', 'transfer-encoding', 'content-type', 'cookie'])
      t.notOk(checks[0]?.headers[name], name);
  },

  async 'pages of allowed origins see the answers, and others do not'(t, url) {
    const preflight = (origin: string) => {
      const headers = ['Origin', origin, 'Access-Control-Request-Method', 'POST'];
      const asks = ['Access-Control-Request-Headers', 'authorization,content-type'];
      return send(url, '/orders', { method: 'OPTIONS', headers: [...headers, ...asks] });
    };
    const before = arrived.length;
    t.match(await preflight(ORIGIN), {
      status: 204,
      headers: {
        'access-control-allow-origin': ORIGIN,
        'access-control-allow-headers': /authorization/i,
        'access-control-max-age': /^\d+$/,
      },
    });
    t.match(await preflight('https://evil.example.com'), {
      status: 404,
      headers: { 'access-control-allow-origin': undefined },
    });
    t.equal(arrived.length, before, 'the backend is not bothered');

    const { token } = await login(url);
    await pass(2 * MINUTE);
    const seen = {
      'access-control-allow-origin': ORIGIN,
      'access-control-expose-headers': /\bjwt\b/i,
      vary: /Origin/i,
    };
    const from = (origin: string, one: string, path = '/whoami') =>
      send(url, path, { headers: ['Origin', origin, ...bearer(one)] });
    t.match(await from(ORIGIN, token), { status: 200, headers: { ...seen, jwt: /^ey/ } });
    t.match(await from(ORIGIN, token, '/nothing'), { status: 404, headers: seen });
    t.match(await from(ORIGIN, 'nonsense'), { status: 401, headers: seen });
    t.match(await from(ORIGIN, token, '/orders/archive'), { status: 403, headers: seen });
    const foreign = await from('https://evil.example.com', token);
    t.match(foreign, { status: 200, headers: { 'access-control-allow-origin': undefined } });
  },

  async 'only what a user does about sessions is reached from outside'(t, url) {
    const { token } = await login(url);
    const paths = [
      '/auth/v1/admin/users',
      '/auth/v1/me/../admin/users',
      '/auth/v1/me/..%2fadmin/users',
      '/auth/oauth/token',
      '/auth/v1/authorize',
      '/_keyturn/check/audience=admin-api',
      '/_keyturn/preflight',
    ];
    for (const path of paths) {
      const before = asked.length;
      await send(url, path, { headers: bearer(token) });
      const urls = asked.slice(before).map((request) => request.url);
      t.ok(urls.length <= 1 && urls.every((one) => one === '/v1/authorize?audience=api'), `${path}: ${urls}`);
    }
    t.match(await send(url, '/auth/v1/me', { headers: bearer(token) }), { status: 200, body: /ada@example\.com/ });
  },

  async 'nothing is let through while it is not known what is revoked, and the client is told when to ask again'(
    t,
    url,
  ) {
    const { token } = await login(url);
    // The view of the revocations is too old to be trusted, and Redis cannot be asked.
    stage.clock.advance(2 * MINUTE);
    stage.redis.break();
    t.teardown(() => stage.redis.mend());
    const before = arrived.length;
    const response = await send(url, '/whoami', { headers: ['Origin', ORIGIN, ...bearer(token)] });
    t.match(response, { status: 503, headers: { 'retry-after': /^\d+$/, 'access-control-allow-origin': ORIGIN } });
    t.equal(JSON.parse(response.body).code, 'authorization_unavailable');
    t.equal(arrived.length, before);
    stage.redis.mend();
    await pass(0);
    t.equal((await send(url, '/whoami', { headers: bearer(token) })).status, 200);
  },

  async 'nothing is let through while Keyturn is down'(t, url) {
    const { token } = await login(url);
    const bringBack = await stage.takeKeyturnAway();
    const before = arrived.length;
    for (const sent of [{}, { method: 'POST', body: '{}' }, { method: 'HEAD' }]) {
      const response = await send(url, '/whoami', { ...sent, headers: bearer(token) });
      t.match(response, { status: 503, headers: { 'retry-after': '1' } });
    }
    t.equal((await send(url, '/whoami')).status, 503, 'without a token too');
    t.equal(arrived.length, before);
    await bringBack();
    t.equal((await send(url, '/whoami', { headers: bearer(token) })).status, 200, 'and all is well when it is back');
  },
};

t.test('the backend of the examples takes a path for what the gateway has seen', async (t) => {
  const backend = `http://127.0.0.1:${stage.ports.backend}`;
  const headers = ['X-Auth-Subject', userId];
  t.equal((await send(backend, '/orders?x=1', { headers })).status, 200);
  t.equal((await send(backend, '//x/orders', { headers })).status, 404);
});

for (const name of gatewayNames) {
  t.test(name, { skip: withoutGateway(name) }, async (t) => {
    const url = await startGateway(t, name, stage.ports);
    for (const [what, holds] of Object.entries(expectations)) await t.test(what, (t) => holds(t, url));
  });
}
