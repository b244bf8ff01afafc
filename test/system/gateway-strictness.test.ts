/**
 * What nginx, Caddy and HAProxy with the files of examples/gateway refuse, drop and take for a yes. Stand-ins for Keyturn and
 * the backend say also what the real ones never would.
 */
import t, { type Test } from 'tap';
import { type GatewayName, startGateway, withoutGateway } from '../support/gateways.js';
import { startHaproxy, withoutHaproxy } from '../support/haproxy.js';
import { ask, type PlainAnswer, startPlainServer } from '../support/plain-servers.js';

const ORIGIN = 'https://app.example.com';
/** That of Caddy's site. */
const HOST = '127.0.0.1';
const IDENTITY = {
  'x-auth-subject': 'ada',
  'x-auth-session': 's1',
  'x-auth-client': 'web',
  'x-auth-scope': '',
  'x-auth-roles': 'clerk',
};

/** What the check may answer, by the token. */
const CHECKS: Readonly<Record<string, PlainAnswer>> = {
  good: { headers: IDENTITY },
  renewed: { headers: { ...IDENTITY, jwt: 'renewed-by-keyturn' } },
  forbidden: { status: 403 },
  'no content': { status: 204, headers: IDENTITY },
  accepted: { status: 202, headers: { ...IDENTITY, jwt: 'renewed-by-keyturn' } },
  'somebody else': { status: 200 },
  'a bad question': { status: 400 },
  'too many': { status: 429 },
  elsewhere: { status: 302, headers: { location: '/' } },
  broken: { status: 500 },
};

/** What only Keyturn may say to a client. */
const NOT_THE_BACKENDS = {
  jwt: 'made-by-backend',
  'access-control-allow-origin': '*',
  'access-control-allow-credentials': 'true',
  'access-control-allow-headers': '*',
  'access-control-allow-methods': '*',
  'access-control-allow-private-network': 'true',
  'access-control-expose-headers': '*',
  'access-control-max-age': '86400',
};

const AMBIGUOUS = [
  '//orders/archive',
  // `new URL(path, base)` takes the first part for a host.
  '//x/orders/archive',
  '/orders//archive',
  '/orders/archive//',
  // Tomcat, and so Spring, takes parameters out of each part.
  '/orders;x=1/archive',
  '/;x/orders/archive',
  '/x/..;/orders/archive',
  '/orders%3bx=1/archive',
  // No fragment to those that do not look for one.
  '/x#/../orders/archive',
  '/orders#/archive',
  '/orders%23/archive',
  '/orders\\archive',
  '/x/..%5corders/archive',
  '/x/..%2Forders/archive',
  '/orders%2farchive',
  '/x/%252e%252e/orders/archive',
  // Passed on as it is, while the location is that of /x.
  '/orders/archive/../../x',
  '/x/%2e%2E/orders/archive',
  '/x/.%2e/orders/archive',
  '/orders/./archive',
  '/orders/%2e/archive',
  '/orders/..',
  '/orders/.?x=1',
  // No code at all.
  '/orders/archive/%zz',
  '/orders%00/archive',
  // Also where Keyturn itself would be asked.
  '/auth/v1/me/..;/admin/users',
  '//auth/v1/me',
];
const CLEAR = [
  '/orders?x=//;/../%2f%5c%25',
  '/.well-known/x',
  '/a..b/...',
  '/%20%C3%BC+@:,=!~*',
  '/x/.%2ehidden/%2e%2e%2e',
  '/orders/',
];
const ARCHIVE = [
  '/orders/archive',
  '/Orders/Archive',
  '/ORDERS/%41rch%49ve/1',
  '/orders/archive.json?x=/whoami',
  `http://${HOST}/orders/archive`,
];

const MARKS = "!#$%&'*+.^_`|~";
const forgedNames = [...MARKS].flatMap((mark) => [
  `X${mark}Auth${mark}Subject`,
  `X-Auth${mark}Subject`,
  `x${mark}auth-roles`,
  `X${mark}Forwarded${mark}For`,
]);
const OVERRIDES = ['X-Original-URL', 'X-Rewrite-URL', 'X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'];
/** Some of them the proxies write themselves. */
const ADDRESSES = ['Forwarded', 'Client-Ip', 'X-Forwarded-For', 'X-Forwarded-Port', 'X-Forwarded-Prefix', 'X-Real-Ip'];
const OTHER_IDENTITIES = ['X-Auth', 'X-Auth-Email', 'X-Auth-User', 'X-Auth-Subject-Id'];

const keyturn = await startPlainServer(t, ({ url, headers, rawHeaders }) => {
  if (!url.startsWith('/v1/authorize?')) return {};
  if (rawHeaders.filter((name) => name.toLowerCase() === 'authorization').length > 1) return { status: 400 };
  if (url.includes('&scope=orders:write')) return CHECKS.forbidden ?? {};
  const cors =
    headers.origin === ORIGIN ? { 'access-control-allow-origin': ORIGIN, 'access-control-expose-headers': 'jwt' } : {};
  const answer = CHECKS[headers.authorization?.replace(/^Bearer /, '') ?? ''] ?? { status: 401 };
  return { ...answer, headers: { vary: 'Origin', ...cors, ...answer.headers } };
});
const backend = await startPlainServer(t, ({ url }) => ({
  status: Number(/status=(\d+)/.exec(url)?.[1] ?? 200),
  headers: { ...NOT_THE_BACKENDS, 'x-from': 'backend' },
}));
const ports = { keyturn: keyturn.port, backend: backend.port };

const as = (token: string) => ['Host', HOST, 'Authorization', `Bearer ${token}`];
const PREFLIGHT = ['Host', HOST, 'Origin', ORIGIN, 'Access-Control-Request-Method', 'GET'];

/** Where they differ. */
interface Ways {
  /** Lets pass with any 2xx, whoever says it. */
  takesAny2xx: boolean;
  /** Drops the five names of Keyturn, and not all that begin like them. */
  knowsFiveNames: boolean;
  statusOfTwoTokens: number;
}

const expectations: Record<string, (t: Test, port: number, ways: Ways) => Promise<void>> = {
  async 'a path that a backend may take for another one gets nowhere, and nobody is asked'(t, port) {
    for (const path of AMBIGUOUS) {
      t.equal((await ask(port, path, { headers: as('good') })).status, 400, path);
      t.equal((await ask(port, path, { method: 'OPTIONS', headers: PREFLIGHT })).status, 400, `${path}: a preflight`);
    }
    t.strictSame([...keyturn.seen, ...backend.seen], []);
  },

  async 'any other arrives as the client wrote it'(t, port) {
    for (const path of CLEAR) t.equal((await ask(port, path, { headers: as('good') })).status, 200, path);
    t.strictSame(
      backend.seen.map(({ url }) => url),
      CLEAR,
    );
  },

  async 'what a location demands is demanded however its path is written'(t, port) {
    for (const path of ARCHIVE) t.equal((await ask(port, path, { headers: as('good') })).status, 403, path);
    for (const path of ['/orders', `http://${HOST}/orders`])
      t.equal((await ask(port, path, { headers: as('good') })).status, 200, path);
    t.strictSame(
      backend.seen.map(({ url }) => url),
      ['/orders', '/orders'],
    );
  },

  async 'no header gets through that a backend may take for the identity, the address or the request'(
    t,
    port,
    { knowsFiveNames },
  ) {
    const forged = [...Object.keys(IDENTITY), ...forgedNames, ...ADDRESSES, ...OVERRIDES];
    const evil = [...forged, ...(knowsFiveNames ? [] : OTHER_IDENTITIES)].flatMap((name) => [name, 'evil']);
    t.equal((await ask(port, '/', { headers: [...as('good'), ...evil, 'X-Mine', 'yes'] })).status, 200);
    const [seen] = backend.seen;
    t.strictSame(
      seen?.rawHeaders.filter((_, i, all) => all[i + 1] === 'evil'),
      [],
    );
    t.match(seen?.headers, { 'x-auth-subject': 'ada', 'x-auth-roles': 'clerk', 'x-mine': 'yes' });
  },

  async 'only 200 with an identity lets pass, or any 2xx where the proxy knows no better'(t, port, { takesAny2xx }) {
    const others = Object.keys(CHECKS).filter((name) => !['good', 'renewed', 'forbidden'].includes(name));
    for (const name of others) {
      const isTaken = takesAny2xx && ['no content', 'accepted', 'somebody else'].includes(name);
      const response = await ask(port, '/', { headers: as(name) });
      if (isTaken) t.equal(response.status, 200, name);
      else t.match(response, { status: 503, headers: { 'retry-after': '1', jwt: undefined } }, name);
      t.equal(backend.seen.length, isTaken ? 1 : 0, name);
      if (name === 'somebody else') t.notOk(backend.seen[0]?.headers['x-auth-subject'], 'nobody');
      backend.seen.length = 0;
    }
  },

  async 'two tokens are none'(t, port, { statusOfTwoTokens }) {
    const { status } = await ask(port, '/', { headers: [...as('good'), 'Authorization', 'Bearer renewed'] });
    t.equal(status, statusOfTwoTokens);
    t.strictSame(backend.seen, []);
  },

  async 'a backend hands out no tokens, and does not say which pages may read'(t, port) {
    for (const status of [200, 404, 500]) {
      const path = `/?status=${status}`;
      const { headers } = await ask(port, path, { headers: as('good') });
      t.match(headers, { 'x-from': 'backend' });
      t.strictSame(
        Object.keys(headers).filter((name) => name in NOT_THE_BACKENDS),
        [],
      );
      const both = await ask(port, path, { headers: [...as('renewed'), 'Origin', ORIGIN] });
      t.match(both, { status, headers: { 'x-from': 'backend' } });
      t.strictSame(Object.fromEntries(Object.entries(both.headers).filter(([name]) => name in NOT_THE_BACKENDS)), {
        jwt: 'renewed-by-keyturn',
        'access-control-allow-origin': ORIGIN,
        'access-control-expose-headers': 'jwt',
      });
    }
  },
};

async function holds(t: Test, port: number, ways: Ways): Promise<void> {
  for (const [what, check] of Object.entries(expectations)) {
    keyturn.seen.length = 0;
    backend.seen.length = 0;
    await t.test(what, (t) => check(t, port, ways));
  }
}

type Changes = Record<string, string>;

interface Gateway {
  skip: string | false;
  /** Resolves to its port. */
  start(t: Test, changes?: Changes): Promise<number>;
  ways: Ways;
}

const started = (name: GatewayName) => ({
  skip: withoutGateway(name),
  start: async (t: Test, changes?: Changes) => Number(new URL(await startGateway(t, name, ports, changes)).port),
});
const GATEWAYS: Readonly<Record<string, Gateway>> = {
  nginx: { ...started('nginx'), ways: { takesAny2xx: true, knowsFiveNames: true, statusOfTwoTokens: 400 } },
  caddy: { ...started('caddy'), ways: { takesAny2xx: false, knowsFiveNames: false, statusOfTwoTokens: 503 } },
  haproxy: {
    skip: withoutHaproxy,
    start: (t, changes) => startHaproxy(t, ports, changes),
    ways: { takesAny2xx: false, knowsFiveNames: false, statusOfTwoTokens: 503 },
  },
};
for (const [name, { skip, start, ways }] of Object.entries(GATEWAYS)) {
  t.test(name, { skip }, async (t) => holds(t, await start(t), ways));

  t.test(`${name} that allows coded slashes still knows what it demands`, { skip }, async (t) => {
    const port = await start(t, { '|%2f|%25': '|%25' });
    const statusOf = async (path: string) => (await ask(port, path, { headers: as('good') })).status;
    t.equal(await statusOf('/files/a%2Fb'), 200);
    t.equal(backend.seen.at(-1)?.url, '/files/a%2Fb');
    backend.seen.length = 0;
    for (const path of ['/orders%2farchive', '/orders%2FArchive/1']) t.equal(await statusOf(path), 403, path);
    for (const path of [
      '/x/..%2forders/archive',
      '/x%2f%2e%2e/orders/archive',
      '/%2forders/archive',
      '/orders%2f%2farchive',
    ])
      t.equal(await statusOf(path), 400, path);
    t.strictSame(backend.seen, []);
  });
}

t.test(
  'nginx asks Keyturn, also where another location fits the check',
  { skip: withoutGateway('nginx') },
  async (t) => {
    const first = '    location / {';
    const greedy = `location ~ (api|write)$ { auth_request off; proxy_pass http://backend; }\n${first}`;
    const url = new URL(await startGateway(t, 'nginx', ports, { [first]: greedy }));
    const { status } = await ask(Number(url.port), '/', { headers: as('nonsense') });
    t.equal(status, 401);
  },
);
