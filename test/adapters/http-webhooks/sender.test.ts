/** Receivers that do what they should not: none holds the sender for longer than it says, or makes it read. */
import { execFileSync } from 'node:child_process';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createWebhookSender } from '../../../src/adapters/http-webhooks/sender.js';
import { createWebhookAddresses } from '../../../src/domain/webhook-addresses.js';
import { listenOn } from '../../support/plain-servers.js';

/** Milliseconds; the tests of those who answer never wait as long. */
const TIMEOUT_MS = 250;
const { mayConnect } = createWebhookAddresses({ networks: [], production: false });
const sender = createWebhookSender({ mayConnect, timeoutMs: TIMEOUT_MS });
const message = { headers: { 'webhook-id': 'x' }, body: '{"type":"é"}' };

const sendTo = async (t: Test, answer: RequestListener, by = sender) =>
  by.send({ url: `http://127.0.0.1:${await listenOn(t, createHttpServer(answer))}/hook?x=y`, ...message });

/** A server of bytes. */
async function raw(t: Test, onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

t.test('one POST with the body as it is, and of the answer its status', async (t) => {
  let seen = '';
  const result = await sendTo(t, (request, response) => {
    request.setEncoding('utf8').on('data', (text) => {
      seen += text;
    });
    request.on('end', () => {
      seen = `${request.method} ${request.url} ${request.headers['content-type']} ${request.headers['webhook-id']} ${seen}`;
      response.writeHead(202).end('thanks');
    });
  });
  t.same(result, { status: 202, retryAfterS: null });
  t.equal(seen, `POST /hook?x=y application/json x ${message.body}`);
});

t.test('refusals are answers, and redirects are not followed', async (t) => {
  let asked = 0;
  const redirect = await sendTo(t, (_, response) => {
    asked++;
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  t.same([redirect, asked], [{ status: 302, retryAfterS: null }, 1]);
  for (const [status, value, retryAfterS] of [
    [429, '120', 120],
    [503, new Date(Date.now() - 5000).toUTCString(), 0],
    [503, 'soon', null],
    [500, undefined, null],
    [410, undefined, null],
  ] as const) {
    const headers = value === undefined ? {} : { 'retry-after': value };
    t.same(await sendTo(t, (_, response) => void response.writeHead(status, headers).end()), { status, retryAfterS });
  }
});

t.test('an answer without end is not read to its end', async (t) => {
  const LONG_MS = 5_000;
  const begun = performance.now();
  const endless: RequestListener = (_, response) => {
    response.writeHead(200);
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
    };
    response.on('drain', more);
    more();
  };
  const result = await sendTo(t, endless, createWebhookSender({ mayConnect, timeoutMs: LONG_MS }));
  t.same(result, { status: 200, retryAfterS: null });
  t.ok(performance.now() - begun < LONG_MS, 'a little of it is enough');
});

t.test('an answer that hangs after its head has been given, and one that never comes takes no longer', async (t) => {
  t.same(await sendTo(t, (_, response) => void response.writeHead(200).write('x')), { status: 200, retryAfterS: null });
  const begun = performance.now();
  t.same(await sendTo(t, () => {}), { error: 'timeout' });
  t.ok(performance.now() - begun >= TIMEOUT_MS);
  const trickle = await raw(t, (socket) => {
    const timer = setInterval(() => socket.write('H'), 20);
    socket.once('close', () => clearInterval(timer));
  });
  t.same(await sender.send({ url: `http://127.0.0.1:${trickle}/`, ...message }), { error: 'malformed' });
  const slow = await raw(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const timer = setInterval(() => socket.write('x: y\r\n'), 20);
    socket.once('close', () => clearInterval(timer));
  });
  t.same(
    await sender.send({ url: `http://127.0.0.1:${slow}/`, ...message }),
    { error: 'timeout' },
    'headers that drip',
  );
});

t.test('who closes, speaks something else, or is not there', async (t) => {
  const errorOf = async (port: number, protocol = 'http') =>
    sender.send({ url: `${protocol}://127.0.0.1:${port}/`, ...message });
  t.same(await errorOf(await raw(t, (socket) => socket.destroy())), { error: 'unreachable' });
  const noise = await raw(t, (socket) => socket.write('220 mail.example.com ESMTP\r\n'));
  t.same(await errorOf(noise), { error: 'malformed' });
  t.same(await errorOf(noise, 'https'), { error: 'tls' });
  const endless = await raw(t, (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`));
  t.same(await errorOf(endless), { error: 'malformed' }, 'headers without end');
  const gone = await raw(t, () => {});
  const probe = connect(gone, '127.0.0.1').on('error', () => {});
  probe.destroy();
  t.same(await errorOf(1), { error: 'unreachable' });
});

function selfSigned(): { key: string; cert: string } | null {
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost';
  const names = ['-addext', 'subjectAltName=DNS:localhost', '-keyout', '-', '-out', '-'];
  try {
    const text = execFileSync('openssl', [...words.split(' '), ...names], { encoding: 'utf8', stdio: 'pipe' });
    return { key: text, cert: text };
  } catch {
    return null;
  }
}
const pair = selfSigned();

t.test(
  'a certificate that nobody vouches for is not taken, whatever is said of others',
  {
    skip: pair === null && 'no openssl',
  },
  async (t) => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    t.teardown(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    });
    let asked = 0;
    const server = createHttpsServer(pair ?? {}, (_, response) => {
      asked++;
      response.end();
    });
    const url = `https://localhost:${await listenOn(t, server)}/`;
    for (const said of ['1', '0']) {
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = said;
      t.same(await sender.send({ url, ...message }), { error: 'tls' });
    }
    t.equal(asked, 0);
  },
);

t.test('a name is connected to only at addresses that may be, looked at anew each time', async (t) => {
  let connections = 0;
  const port = await raw(t, (socket) => {
    connections++;
    socket.end('HTTP/1.1 204 No Content\r\n\r\n');
  });
  const url = `https://receiver.example:${port}/`;
  const production = createWebhookAddresses({ networks: [], production: true });
  const answers = [['127.0.0.1'], ['169.254.169.254', '::ffff:127.0.0.1'], ['not an address'], []];
  const results = [];
  const rebound = createWebhookSender({
    mayConnect: production.mayConnect,
    resolve: async () => answers.shift() ?? Promise.reject(new Error('SERVFAIL')),
    timeoutMs: TIMEOUT_MS,
  });
  for (let n = 0; n < 5; n++) results.push(await rebound.send({ url, ...message }));
  const refused = { error: 'address_refused' };
  t.same(results, [refused, refused, refused, { error: 'unresolved' }, { error: 'unresolved' }]);
  for (const literal of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433'])
    t.same(await rebound.send({ url: `https://${literal}:${port}/`, ...message }), refused, literal);
  t.equal(connections, 0);

  const asked: string[] = [];
  const near = createWebhookSender({
    mayConnect,
    resolve: async (name) => {
      asked.push(name);
      return ['10.0.0.1', '127.0.0.1'];
    },
    timeoutMs: TIMEOUT_MS,
  });
  t.match(await near.send({ url: `http://localhost:${port}/`, ...message }), { status: 204 }, 'the one that may be');
  t.same([asked, connections], [['localhost'], 1]);
});
