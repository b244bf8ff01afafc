/** What is answered before, or instead of, a route: over a socket, since much of it is never a request. */
import { once } from 'node:events';
import { METHODS } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { fastDatabase } from '../support/databases.js';
import { startService, type TestService, testKeks } from '../support/service.js';
import { type Answer, faultsOf } from './refusals.js';

interface Listening extends TestService {
  port: number;
  /** Sends bytes on a connection of their own and reads the one answer. */
  raw(bytes: string | Buffer, method?: string): Promise<Answer>;
}

const HEAD_END = '\r\n\r\n';

/** Node chunks nothing here: an answer has a Content-Length, or the connection's end is its end. */
function answerFrom(text: string): Answer {
  const start = text.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '');
  const end = start.indexOf(HEAD_END);
  const [status = '', ...lines] = start.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  return {
    statusCode: Number(/^HTTP\/1\.1 (\d{3}) /.exec(status)?.[1]),
    headers,
    body: start.slice(end + HEAD_END.length),
  };
}

const isComplete = (text: string, method: string): boolean => {
  const { headers, body } = answerFrom(text);
  const length = headers['content-length'];
  return text.includes(HEAD_END) && (method === 'HEAD' || (length !== undefined && body.length >= Number(length)));
};

function read(socket: Socket, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (isComplete(text, method)) resolve(answerFrom(text));
    });
    socket.once('end', () => resolve(answerFrom(text)));
    socket.once('error', reject);
  });
}

// One database for all, which none of these requests changes much.
const database = await fastDatabase(t);
const keks = testKeks();

async function listen(t: Test, before: (service: TestService) => void = () => {}): Promise<Listening> {
  const service = await startService(t, { database, keks });
  before(service);
  await service.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = service.app.server.address() as AddressInfo;
  return {
    ...service,
    port,
    async raw(bytes, method) {
      const socket = connect(port, '127.0.0.1');
      socket.write(bytes);
      const answer = await read(socket, method);
      socket.destroy();
      return answer;
    },
  };
}

const request = (line: string, headers: readonly string[] = [], body = ''): string =>
  [`${line} HTTP/1.1`, 'Host: keyturn.example', ...headers, '', body].join('\r\n');
const post = (path: string, headers: readonly string[], body: string): string =>
  request(`POST ${path}`, [...headers, `Content-Length: ${Buffer.byteLength(body)}`], body);
const codeIn = ({ body }: Answer): unknown => JSON.parse(body).code;

t.test('what is not HTTP is refused as a problem document', async (t) => {
  const { raw } = await listen(t);
  const chunked = 'Transfer-Encoding: chunked';
  const malformed: Record<string, string | Buffer> = {
    'no request line': 'hello there\r\n\r\n',
    'a TLS handshake': Buffer.from('16030100a5010000a10303', 'hex'),
    'the HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'an unknown version': 'GET /livez HTTP/9.9\r\nHost: x\r\n\r\n',
    'an unknown method': request('BREW /livez'),
    'a control character in the path': request('GET /liv\x01ez'),
    'bytes above ASCII in the path': request('GET /livéz'),
    'a NUL in a header': request('GET /livez', ['X-Odd: a\0b']),
    'a header without a colon': request('GET /livez', ['nonsense']),
    'a Content-Length that is no number': request('POST /v1/login', ['Content-Length: abc']),
    'a negative Content-Length': request('POST /v1/login', ['Content-Length: -1']),
    'two Content-Lengths': request('POST /v1/login', ['Content-Length: 2', 'Content-Length: 3'], '{}'),
    'a Content-Length and chunks': request('POST /v1/login', ['Content-Length: 2', chunked], '0\r\n\r\n'),
    'a chunk without a length': request('POST /v1/login', ['Content-Type: application/json', chunked], 'zz\r\n\r\n'),
  };
  for (const [what, bytes] of Object.entries(malformed)) {
    const answer = await raw(bytes);
    t.same([answer.statusCode, codeIn(answer)], [400, 'invalid_request'], what);
    t.same(faultsOf(answer), [], `${what}: in the common format`);
    t.equal(answer.headers.connection, 'close', `${what}: nothing else is read from the connection`);
  }
});

t.test('headers of more than 16 KiB are refused with 431', async (t) => {
  const { raw } = await listen(t);
  const answer = await raw(request('GET /livez', [`X-Long: ${'x'.repeat(16 * 1024)}`]));
  t.same([answer.statusCode, codeIn(answer)], [431, 'headers_too_large']);
  t.same(faultsOf(answer), []);
  t.equal((await raw(request('GET /livez', [`X-Long: ${'x'.repeat(15 * 1024)}`]))).statusCode, 200);
});

t.test('a request that does not arrive in time is refused with 408', async (t) => {
  const { raw } = await listen(t, ({ app }) => {
    app.server.headersTimeout = app.server.requestTimeout = 20;
    Object.assign(app.server, { connectionsCheckingInterval: 10 });
  });
  const unfinished = {
    'half its headers': 'GET /livez HTTP/1.1\r\nHost: x\r\n',
    'half its body': request('POST /v1/login', ['Content-Type: application/json', 'Content-Length: 20'], '{'),
  };
  for (const [what, bytes] of Object.entries(unfinished)) {
    const answer = await raw(bytes);
    t.same([answer.statusCode, codeIn(answer)], [408, 'request_timeout'], what);
    t.same(faultsOf(answer), [], what);
  }
});

t.test('the time limit is that of the whole request, body and all', async (t) => {
  const { app } = await startService(t, { database, keks });
  // Node takes the shorter of the two for the headers, whichever is which.
  t.ok(app.server.requestTimeout > 0);
  t.ok(app.server.headersTimeout > 0);
  t.ok(app.server.headersTimeout <= app.server.requestTimeout);
});

t.test('what is refused before a route has its line in the log, with the id that the answer gave', async (t) => {
  const { raw, logs } = await listen(t);
  const answerAndLine = async (bytes: string) => {
    const { headers } = await raw(bytes);
    return logs.find((line) => line.request_id === headers['x-request-id']);
  };
  const refused = { code: 'invalid_request', status: 400, ip: '127.0.0.1' };
  t.match(await answerAndLine(request('GET /v1/%zz')), { ...refused, msg: 'request', method: 'GET', path: '/v1/%zz' });
  t.match(await answerAndLine('nonsense\r\n\r\n'), { ...refused, msg: 'refused connection' });
  const tooLarge = request('GET /livez', [`X: ${'x'.repeat(20_000)}`]);
  t.match(await answerAndLine(tooLarge), { code: 'headers_too_large', status: 431 });
});

t.test('a refused connection is let go though the other side keeps its half open', async (t) => {
  const { app, port } = await listen(t);
  const accepted = once(app.server, 'connection');
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  const [serverSide]: Socket[] = await accepted;
  const closed = serverSide && once(serverSide, 'close');
  socket.write('nonsense\r\n\r\n');
  t.equal((await read(socket)).statusCode, 400);
  await closed;
  t.equal(serverSide?.destroyed, true);
  t.equal(socket.writable, true);
});

t.test('a request of HTTP/1.1 has one Host', async (t) => {
  const { raw } = await listen(t);
  for (const hosts of ['', 'Host: a\r\nHost: b\r\n']) {
    const answer = await raw(`GET /livez HTTP/1.1\r\n${hosts}\r\n`);
    t.same([answer.statusCode, codeIn(answer)], [400, 'invalid_request']);
    t.same(faultsOf(answer), []);
  }
  t.equal((await raw('GET /livez HTTP/1.0\r\n\r\n')).statusCode, 200, 'HTTP/1.0 needs none');
});

t.test('an Expect header is honoured or ignored', async (t) => {
  const { raw } = await listen(t);
  t.equal((await raw(request('GET /livez', ['Expect: the-unexpected']))).statusCode, 200);
  const answer = await raw(post('/v1/login', ['Expect: 100-continue', 'Content-Type: application/json'], '{}'));
  t.same([answer.statusCode, codeIn(answer)], [400, 'invalid_request']);
});

t.test('a header that must be there once is not there twice', async (t) => {
  const { raw, register, login } = await listen(t);
  await register();
  const { access_token: token, refresh_token: refreshToken } = await login();
  const twice = (header: string) => [header, header];
  const bearer = await raw(request('GET /v1/me', twice(`Authorization: Bearer ${token}`)));
  t.same([bearer.statusCode, codeIn(bearer)], [400, 'invalid_request'], 'Authorization');

  const body = JSON.stringify({ refresh_token: refreshToken });
  const json = ['Content-Type: application/json'];
  const keyed = await raw(post('/v1/refresh', [...json, ...twice('Idempotency-Key: a-key-of-mine')], body));
  t.same([keyed.statusCode, codeIn(keyed)], [400, 'invalid_idempotency_key'], 'Idempotency-Key');
  const once = await raw(post('/v1/refresh', [...json, 'Idempotency-Key: a-key-of-mine'], body));
  t.equal(once.headers['keyturn-refresh-outcome'], 'rotated', 'the refused one did not use the token');

  const form = ['Content-Type: application/x-www-form-urlencoded', ...twice('Authorization: Basic YTpi')];
  const client = await raw(post('/oauth/token', form, 'grant_type=client_credentials'));
  t.same([client.statusCode, JSON.parse(client.body).error], [400, 'invalid_request'], 'at the token endpoint too');
});

t.test('a path with a bad escape is refused, in the format of the place', async (t) => {
  const { raw } = await listen(t);
  for (const path of ['/%zz', '/v1/%', '/v1/sessions/%ff', '/oauth/%c0%af', '/.well-known/%zz']) {
    const answer = await raw(request(`GET ${path}`));
    t.equal(answer.statusCode, 400, path);
    t.same(faultsOf(answer, { path }), [], path);
  }
});

t.test('a path that is not there is 404 whatever is sent to it', async (t) => {
  const { raw } = await listen(t);
  const types = ['x/y', ';;;', 'application/json', 'application/json; charset=utf-16'];
  const sent = types.map((type) => post('/nothing', [`Content-Type: ${type}`], '{'));
  const large = post('/nothing', ['Content-Type: text/plain'], 'x'.repeat(20_000));
  const none = ['/nothing', '/v1', '/v1/login/', '/V1/login', '/v1/login;x', '/.well-known/', '/docsx', '/'];
  for (const bytes of [...sent, large, ...none.map((path) => request(`GET ${path}`)), request('OPTIONS *')]) {
    const answer = await raw(bytes);
    t.same([answer.statusCode, codeIn(answer)], [404, 'not_found']);
    t.same(faultsOf(answer), []);
  }
  const oauth = await raw(request('GET /oauth/nothing'));
  t.equal(oauth.statusCode, 404);
  t.same(faultsOf(oauth, { path: '/oauth/nothing' }), []);
});

t.test('a body that is announced in chunks and turns out empty is none', async (t) => {
  const { raw } = await listen(t);
  const chunked = (lines: string[], body: string) =>
    raw(request('POST /v1/logout', ['Transfer-Encoding: chunked', ...lines], body));
  t.same(codeIn(await chunked([], '0\r\n\r\n')), 'token_missing', 'what it lacks is a token');
  t.same(codeIn(await chunked([], '1\r\nx\r\n0\r\n\r\n')), 'unsupported_media_type');
  t.same(codeIn(await chunked(['Content-Type: text/plain'], '0\r\n\r\n')), 'unsupported_media_type');
});

t.test('every method that a path does not have is 405 and says which it has', async (t) => {
  const { raw, get } = await listen(t);
  const { paths } = (await get('/openapi.json')).json<{ paths: Record<string, object> }>();
  // What a gateway asks comes with the method of the request that it asks for.
  const { '/v1/authorize': _anyMethod, ...others } = paths;
  const known = Object.entries(others).map(([path, methods]) => [path, Object.keys(methods)] as const);
  for (const [path, methods] of [...known, ...['/openapi.json', '/docs'].map((path) => [path, ['get']] as const)]) {
    const allow = methods.flatMap((name) => (name === 'get' ? ['GET', 'HEAD'] : [name.toUpperCase()])).sort();
    // Node closes the connection on CONNECT, which asks for a proxy.
    for (const method of METHODS.filter((name) => !allow.includes(name) && name !== 'CONNECT')) {
      const answer = await raw(request(`${method} ${path.replace('{id}', 'x')}`, ['Content-Length: 0']), method);
      if (
        answer.statusCode !== 405 ||
        answer.headers.allow !== allow.join(', ') ||
        faultsOf(answer, { path, method })[0]
      ) {
        t.fail(`${method} ${path}`, { answer });
      }
    }
    t.pass(`${path} has ${allow.join(', ')} and nothing else`);
  }
});

t.test('HEAD is answered like GET, without a body', async (t) => {
  const { raw } = await listen(t);
  for (const path of ['/livez', '/.well-known/jwks.json', '/openapi.json']) {
    const head = await raw(request(`HEAD ${path}`), 'HEAD');
    const full = await raw(request(`GET ${path}`));
    t.same([head.statusCode, head.body], [200, ''], path);
    t.equal(head.headers['content-length'], full.headers['content-length'], path);
    t.equal(head.headers.etag, full.headers.etag, path);
  }
  t.equal((await raw(request('HEAD /v1/me'), 'HEAD')).statusCode, 401);
});

t.test('a sane X-Request-Id is kept and any other replaced', async (t) => {
  const { raw } = await listen(t);
  for (const path of ['/livez', '/nothing', '/%zz', '/v1/me']) {
    const idFor = async (...ids: string[]) =>
      (
        await raw(
          request(
            `GET ${path}`,
            ids.map((id) => `X-Request-Id: ${id}`),
          ),
        )
      ).headers['x-request-id'];
    for (const id of ['a', 'req_1.2-Z', 'x'.repeat(64)]) t.equal(await idFor(id), id, path);
    for (const id of ['', 'x'.repeat(65), 'a b', 'a/b', '<x>', 'é', 'a,b']) {
      t.match(await idFor(id), /^[0-9a-f]{8}-[0-9a-f-]{27}$/, path);
    }
    t.match(await idFor('one', 'two'), /^[0-9a-f]{8}-[0-9a-f-]{27}$/, 'two of them');
  }
});
