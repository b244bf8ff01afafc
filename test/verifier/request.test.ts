/** From a request to an answer: where the token is taken from, and how a refusal of it looks in each framework. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import fastify from 'fastify';
import t, { type Test } from 'tap';
import type { NodeRequest } from '../../src/verifier/bearer.js';
import * as forExpress from '../../src/verifier/express.js';
import * as forFastify from '../../src/verifier/fastify.js';
import { VerifyError } from '../../src/verifier/index.js';
import { bench, outcomeOf } from '../support/verifier.js';

const { verifier, forge, another, jwks } = bench(t);
const token = forge.token();
const good = `Bearer ${token}`;

const fetchRequest = (...values: string[]) =>
  new Request('https://api.example.com/', {
    headers: values.map((value): [string, string] => ['Authorization', value]),
  });

/** As Node makes it of what it reads: of several it keeps the first. */
const nodeRequest = (...values: string[]): NodeRequest => ({
  headers: { host: 'api.example.com', ...(values[0] === undefined ? {} : { authorization: values[0] }) },
  rawHeaders: ['Host', 'api.example.com', ...values.flatMap((value) => ['Authorization', value])],
});

const takers = { fetchRequest, nodeRequest };

t.test('a token is taken from the Authorization header', async (t) => {
  for (const [name, request] of Object.entries(takers)) {
    for (const scheme of ['Bearer ', 'bearer ', 'BEARER   ']) {
      t.same(await verifier.verifyRequest(request(scheme + token)), forge.claims, `${name}: ${scheme}`);
    }
  }
  const plain = { headers: { Authorization: good } };
  t.equal(await outcomeOf(verifier.verifyRequest(plain)), 'accepted', 'whatever the case of its name');
  const changed = { headers: { authorization: good }, rawHeaders: ['Cookie', 'token=x'] };
  t.equal(await outcomeOf(verifier.verifyRequest(changed)), 'accepted', 'put there by a middleware');
});

t.test('what is no bearer token is missing, and what is not one token is malformed', async (t) => {
  for (const [name, request] of Object.entries(takers)) {
    const outcome = (...values: string[]) => outcomeOf(verifier.verifyRequest(request(...values)));
    t.equal(await outcome(), 'token_missing', name);
    for (const other of ['Basic YTpi', `Token ${token}`, `DPoP ${token}`, token, '', `Bearertoken ${token}`]) {
      t.equal(await outcome(other), 'token_missing', `${name}: ${other.slice(0, 12)}`);
    }
    for (const odd of [
      'Bearer',
      'Bearer ',
      `${good} ${token}`,
      `Bearer ${token.replace('.', '. ')}`,
      `Bearer "${token}"`,
      `${good},`,
      `Bearer\t${token}`,
      `${good}, ${good}`,
    ]) {
      t.equal(await outcome(odd), 'token_malformed', `${name}: ${odd.slice(0, 20)}`);
    }
    t.equal(await outcome(good, good), 'token_malformed', `${name}: two of them`);
    t.not(await outcome('Basic YTpi', good), 'accepted', `${name}: another first`);
    t.not(await outcome(good, 'Basic YTpi'), 'accepted', `${name}: another after it`);
  }
  const several = { headers: { authorization: [good, good] } };
  t.equal(await outcomeOf(verifier.verifyRequest(several)), 'token_malformed');
  const spelledTwice = { headers: { authorization: good, Authorization: good } };
  t.equal(await outcomeOf(verifier.verifyRequest(spelledTwice)), 'token_malformed');
});

t.test('a token in the address is not looked at', async (t) => {
  const request = new Request(`https://api.example.com/?access_token=${token}`);
  t.equal(await outcomeOf(verifier.verifyRequest(request)), 'token_missing');
});

t.test('all of the scopes that are asked for must have been granted', async (t) => {
  for (const [scope, expected] of [
    ['orders:read', 'accepted'],
    ['orders:write orders:read', 'accepted'],
    ['', 'accepted'],
    ['orders', 'insufficient_scope'],
    ['orders:read admin', 'insufficient_scope'],
    ['ORDERS:READ', 'insufficient_scope'],
  ] as const) {
    t.equal(await outcomeOf(verifier.verifyRequest(fetchRequest(good), { scope })), expected, scope);
    t.equal(await outcomeOf(verifier.verify(token, { scope })), expected, scope);
  }
  const without = forge.token({ claims: { scope: undefined } });
  t.equal(await outcomeOf(verifier.verify(without, { scope: 'orders:read' })), 'insufficient_scope');
});

t.test('options that cannot be right are told of at once', async (t) => {
  const token = async () => '';
  for (const [options, message] of [
    [{ issuer: 'http://auth.example.com' }, /^issuer: must be https/],
    [{ issuer: 'http://127.0.0.1.evil.example' }, /^issuer: must be https/],
    [{ issuer: 'http://localhost.evil.example' }, /^issuer: must be https/],
    [{ issuer: 'ftp://localhost' }, /^issuer: must be https/],
    [{ issuer: 'auth.example.com' }, /^issuer: /],
    [{ issuer: undefined as never }, /^issuer: /],
    [{ issuer: 'https://user:secret@auth.example.com' }, /^issuer: /],
    [{ issuer: 'https://auth.example.com?x' }, /^issuer: /],
    [{ jwksUri: 'http://10.0.0.1/keys' }, /^jwksUri: /],
    [{ audience: '' }, /^audience: /],
    [{ audience: undefined as never }, /^audience: /],
    [{ algorithms: [] }, /^algorithms: /],
    [{ algorithms: ['none'] as never }, /^algorithms: /],
    [{ algorithms: ['RS256', 'HS256'] as never }, /^algorithms: /],
    [{ clockTolerance: -1 }, /^clockTolerance: /],
    [{ clockTolerance: Number.NaN }, /^clockTolerance: /],
    [{ revocation: {} as never }, /^revocation.follow.token: /],
    [{ revocation: { follow: { token }, maxStaleness: 0 } }, /^revocation.maxStaleness: /],
    [{ revocation: { follow: { token }, onUnknown: 'maybe' as never } }, /^revocation.onUnknown: /],
  ] as const) {
    t.throws(() => another(options), { name: 'TypeError', message }, String(message));
  }
  for (const issuer of [
    'http://localhost:3000',
    'http://127.0.0.1',
    'http://[::1]:3000',
    'https://auth.example.com/a/',
  ]) {
    t.doesNotThrow(() => another({ issuer }), issuer);
  }
});

/** What is asked, and the status, challenge, Retry-After and code of the answer. */
const cases = [
  [undefined, 401, 'Bearer', null, 'token_missing'],
  ['Bearer x', 401, 'Bearer error="invalid_token", error_description="token_malformed"', null, 'token_malformed'],
  [
    `Bearer ${forge.token({ claims: { exp: 0 } })}`,
    401,
    'Bearer error="invalid_token", error_description="token_expired"',
    null,
    'token_expired',
  ],
  [
    `Bearer ${forge.token({ claims: { scope: 'a' } })}`,
    403,
    'Bearer error="insufficient_scope", error_description="insufficient_scope", scope="orders:read"',
    null,
    'insufficient_scope',
  ],
] as const;

/** `ask` is for a route that wants orders:read and says whose token it got; `askDown` for one whose keys cannot be had. */
async function answersRight(
  t: Test,
  ask: (authorization: string | undefined) => Promise<Response>,
  askDown: (authorization: string) => Promise<Response>,
): Promise<void> {
  const seen = async (response: Response) => ({
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    retryAfter: response.headers.get('retry-after'),
    code: ((await response.json()) as { code?: string }).code,
  });
  for (const [authorization, status, challenge, retryAfter, code] of cases) {
    const response = await ask(authorization);
    t.match(response.headers.get('content-type'), /^application\/problem\+json/);
    t.equal(response.headers.get('cache-control'), 'no-store');
    t.strictSame(await seen(response), { status, challenge, retryAfter, code });
  }
  const down = { status: 503, challenge: null, retryAfter: '1', code: 'keys_unavailable' };
  t.strictSame(await seen(await askDown(good)), down);
  const accepted = await ask(good);
  t.equal(accepted.status, 200);
  t.same(await accepted.json(), { sub: 'ada' });
}

const withAuthorization = (authorization: string | undefined) =>
  authorization === undefined ? {} : { headers: { authorization } };
const scope = 'orders:read';

/** Its keys cannot be had. */
function downBench(t: Test) {
  const made = bench(t);
  made.jwks.answer = () => new Response('', { status: 500 });
  return made.verifier;
}

t.test('a handler of the Fetch API', async (t) => {
  const handler =
    (by = verifier) =>
    async (request: Request): Promise<Response> => {
      try {
        const { sub } = await by.verifyRequest(request, { scope });
        return Response.json({ sub });
      } catch (error) {
        if (error instanceof VerifyError) return error.toResponse();
        throw error;
      }
    };
  const requestWith = (authorization?: string) => new Request('https://api/', withAuthorization(authorization));
  const byDown = handler(downBench(t));
  await answersRight(
    t,
    (authorization) => handler()(requestWith(authorization)),
    (authorization) => byDown(requestWith(authorization)),
  );
});

/** Middleware in the way of Express: a chain upon the requests and responses of `node:http`. */
async function listen(t: Test, handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  return (server.address() as AddressInfo).port;
}

t.test('middleware of Express', async (t) => {
  const middleware = forExpress.requireToken(verifier, { scope });
  const downMiddleware = forExpress.requireToken(downBench(t), { scope });
  const port = await listen(t, (request, response) => {
    (request.url === '/down' ? downMiddleware : middleware)(request, response, () => {
      response.end(JSON.stringify({ sub: forExpress.claimsOf(request).sub }));
    });
  });
  const url = `http://127.0.0.1:${port}`;
  await answersRight(
    t,
    (authorization) => fetch(url, withAuthorization(authorization)),
    (authorization) => fetch(`${url}/down`, withAuthorization(authorization)),
  );
  const socket = connect(port, '127.0.0.1');
  socket.end(
    `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: ${good}\r\nAuthorization: ${good}\r\nConnection: close\r\n\r\n`,
  );
  t.match(await text(socket), /^HTTP\/1.1 401 .*token_malformed/s, 'two headers');
});

t.test('middleware leaves alone what somebody else has answered meanwhile', async (t) => {
  const thrown: unknown[] = [];
  const note = (error: unknown) => thrown.push(error);
  process.on('unhandledRejection', note);
  t.teardown(() => process.off('unhandledRejection', note));
  const middleware = forExpress.requireToken(downBench(t));
  const port = await listen(t, (request, response) => {
    middleware(request, response, () => t.fail('it was let through'));
    response.end('too late');
  });
  t.equal(await (await fetch(`http://127.0.0.1:${port}`, withAuthorization(good))).text(), 'too late');
  t.same(thrown, []);
});

t.test('middleware hands on what is no refusal', async (t) => {
  const broken = { ...verifier, verifyRequest: () => Promise.reject(new Error('a fault')) };
  const error = await new Promise((resolve) => {
    forExpress.requireToken(broken)(nodeRequest(good), {} as never, resolve);
  });
  t.match(error, { message: 'a fault' });
  t.throws(() => forExpress.claimsOf(nodeRequest(good)), TypeError, 'there are no claims where none were asked for');
});

t.test('the hook and the plugin of Fastify', async (t) => {
  const app = fastify();
  t.teardown(() => app.close());
  const { requireToken, claimsOf, keyturn } = forFastify;
  const byDown = downBench(t);
  app.get('/open', async () => ({}));
  app.get('/hook', { onRequest: requireToken(verifier, { scope }) }, async (request) => ({
    sub: claimsOf(request).sub,
  }));
  app.get('/down', { onRequest: requireToken(byDown) }, async () => ({}));
  await app.register(async (api) => {
    await api.register(keyturn, { verifier, scope });
    api.get('/plugin', async (request) => ({ sub: claimsOf(request).sub }));
    api.get('/admin', { onRequest: requireToken(verifier, { scope: 'admin' }) }, async () => ({}));
  });
  const ask = async (url: string, authorization?: string) => {
    const { statusCode, headers, body } = await app.inject({ url, ...withAuthorization(authorization) });
    return new Response(body, { status: statusCode, headers: headers as Record<string, string> });
  };
  for (const url of ['/hook', '/plugin']) {
    await answersRight(
      t,
      (authorization) => ask(url, authorization),
      (authorization) => ask('/down', authorization),
    );
  }
  t.equal((await ask('/admin', good)).status, 403, 'a route may ask for more');
  t.equal((await ask('/open')).status, 200, 'what is outside the scope is open');
});

t.test('no refusal holds any of the token', async (t) => {
  jwks.keys = [];
  const stale = forge.token({ header: { kid: 'other' } });
  for (const bad of [stale, `${token}x`, forge.token({ claims: { exp: 0 } }), 'x'.repeat(9000)]) {
    const error = await verifier.verify(bad).catch((error) => error);
    t.ok(error instanceof VerifyError);
    const said = `${error.message} ${error.stack} ${error.body} ${JSON.stringify(error)} ${JSON.stringify(error.headers)}`;
    for (const part of bad.split('.')) t.notOk(said.includes(part), error.code);
  }
});
