/** Connections that are too many, too slow or never read: over sockets, each cut off in its time while others are served. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { buildLocalApp } from '../../src/http/local-app.js';
import { findSocket, listenOnSocket } from '../../src/http/local-socket.js';
import { buildMetricsApp } from '../../src/http/metrics-app.js';
import { fastDatabase } from '../support/databases.js';
import { samplesOf } from '../support/metrics.js';
import { oauthOf } from '../support/oauth.js';
import { eventually } from '../support/process.js';
import { startService, testKeks } from '../support/service.js';

const database = await fastDatabase(t);
const keks = testKeks();
/** Milliseconds: as short as a busy machine lets an honest client keep to them. */
const TIMEOUTS = { request: 600, check: 20, answer: 5_000, silence: 1_000, keepAlive: 800 };
/** Where there is a flood, the honest ones wait for a while, too. */
const PATIENT = { ...TIMEOUTS, request: 5_000, silence: 2_000 };
/** Far above them, and far below those of the service itself. */
const SOON_MS = 8_000;
const GET = 'GET /livez HTTP/1.1\r\nHost: keyturn.example\r\n\r\n';

async function listen(t: Test, env: Record<string, string> = {}, timeouts = TIMEOUTS) {
  const service = await startService(t, { database, keks, env, timeouts });
  await service.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = service.app.server.address() as AddressInfo;
  // What the first request compiles is not to be waited for below.
  await service.get('/livez');
  await service.post('/v1/login', {});
  function open(localAddress = '127.0.0.1'): Socket {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    return socket;
  }
  /** What the server says until it hangs up. Rejects when it does not do that soon. */
  async function untilClosed(socket: Socket): Promise<string> {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(SOON_MS) });
    return text;
  }
  /** Somebody else is served: the status of his answer. */
  async function ask(localAddress?: string): Promise<string> {
    const socket = open(localAddress);
    socket.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    return (await untilClosed(socket)).slice(0, 12);
  }
  const refused = async (reason: string) =>
    samplesOf(await service.metrics.text(), 'keyturn_connections_refused_total')[`reason="${reason}"`];
  const isOpen = async (count: number) => samplesOf(await service.metrics.text(), 'keyturn_connections')[''] === count;
  return { ...service, open, untilClosed, ask, refused, isOpen };
}
const OK = 'HTTP/1.1 200';
/** One byte after the other, as long as anybody listens. */
async function trickle(socket: Socket, bytes: string): Promise<void> {
  for (const byte of bytes) {
    if (socket.destroyed) return;
    socket.write(byte);
    await sleep(20);
  }
}

t.test('whoever sends slowly, or nothing, is cut off in time, and others are served meanwhile', async (t) => {
  const { open, untilClosed, ask } = await listen(t);
  const long = 'x'.repeat(200);
  const slow: [what: string, at: string, rest: string][] = [
    ['nothing at all', '', ''],
    ['half a first line', 'GET /li', ''],
    ['headers byte by byte', '', `GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ${long}`],
    ['one header after the other', 'GET /livez HTTP/1.1\r\nHost: x\r\n', 'a: b\r\n'.repeat(60)],
    [
      'a body byte by byte',
      'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n',
      long,
    ],
    [
      'chunks byte by byte',
      'POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
      '1\r\nx\r\n'.repeat(60),
    ],
    ['a second request by halves', `${GET}GET /livez`, ''],
  ];
  const began = performance.now();
  const ended = slow.map(async ([what, at, rest]) => {
    const socket = open();
    await once(socket, 'connect');
    socket.write(at);
    const closed = untilClosed(socket);
    await trickle(socket, rest);
    return [what, /HTTP\/1\.1 (?!200)(\d+)/.exec(await closed)?.[1], performance.now() - began < SOON_MS];
  });
  t.equal(await ask(), OK);
  t.strictSame(
    await Promise.all(ended),
    slow.map(([what]) => [what, '408', true]),
  );
  t.equal(await ask(), OK);
});

t.test('whoever does not read is cut off, and has cost no more than what he was sent', async (t) => {
  const { open, ask, app, isOpen } = await listen(t, {}, PATIENT);
  const socket = open();
  await once(socket, 'connect');
  socket.pause();
  const answered: unknown[] = [];
  app.server.on('request', (_request, response) => response.on('finish', () => answered.push(response)));
  // Far more than the buffers of both sides hold.
  const asked = 50;
  socket.write('GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(asked));
  t.equal(await ask(), OK);
  await eventually(
    () => isOpen(0),
    () => 'it is still connected',
  );
  t.ok(answered.length < asked, `${answered.length} answers were taken`);
  t.equal(await ask(), OK);
});

t.test('a heap of requests on one connection keeps nobody else waiting, and is answered in order', async (t) => {
  const { open, ask } = await listen(t, {}, PATIENT);
  const socket = open();
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  const asked = 50;
  for (let round = 1; round <= 5; round++) {
    socket.write(GET.repeat(asked));
    t.equal(await ask(), OK);
    await eventually(
      () => text.split(OK).length - 1 === round * asked,
      () => 'not all of it was answered',
    );
  }
});

t.test('more than fifty that wait behind each other are not begun', async (t) => {
  const { open, untilClosed, ask, logs } = await listen(t, {}, PATIENT);
  const socket = open();
  socket.write(GET.repeat(1_000));
  await untilClosed(socket);
  t.equal(await ask(), OK);
  const begun = logs.filter(({ msg, path }) => msg === 'request' && path === '/livez').length;
  t.ok(begun < 100, `${begun} of 1,000`);
  t.equal(logs.filter(({ msg }) => msg.startsWith('too many requests at once')).length, 1);
});

t.test('when a connection closes each request is over, those that wait behind others included', async (t) => {
  const { open, app, logs } = await listen(t, {}, PATIENT);
  let begun = 0;
  let over = 0;
  app.server.on('request', (_request, response) => {
    begun++;
    response.once('close', () => over++);
  });
  const socket = open();
  await once(socket, 'connect');
  const asked = 20;
  // A hash takes long enough for all to come before the first is answered.
  const body = JSON.stringify({ email: 'nobody@example.com', password: 'no such password' });
  const head = `POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
  socket.write(`${head}\r\n\r\n${body}`.repeat(asked));
  await eventually(
    () => begun === asked,
    () => `${begun} were begun`,
  );
  socket.destroy();
  await eventually(
    () => over === asked,
    () => `${over} are over`,
  );
  const told = () => logs.filter(({ msg, path }) => msg === 'request' && path === '/v1/login').length;
  await eventually(
    () => told() === asked + 1,
    () => `${told()} are in the log`,
  );
});

t.test('what is no HTTP is counted for its address, and hung up on when that has had all', async (t) => {
  const { open, untilClosed, ask } = await listen(t, { LIMIT_REQUESTS: '2' });
  const send = async () => {
    // From an address that has asked for nothing else.
    const socket = open('127.0.0.5');
    socket.write('no such thing\r\n\r\n');
    return (await untilClosed(socket)).slice(0, 12);
  };
  t.strictSame([await send(), await send(), await send()], ['HTTP/1.1 400', 'HTTP/1.1 400', '']);
  t.equal(await ask('127.0.0.5'), OK, 'probes are answered all the same');
});

t.test('an idle connection is let go', async (t) => {
  const { open, untilClosed } = await listen(t);
  const socket = open();
  socket.write(GET);
  const text = await untilClosed(socket);
  t.match(text, /^HTTP\/1\.1 200 /);
  t.equal(text.split('HTTP/1.1').length, 2, 'one answer, and then nothing');
});

t.test('one address has so many connections, and another its own', async (t) => {
  const service = await listen(t, { LIMIT_CONNECTIONS_PER_ADDRESS: '3', TRUST_PROXY: '127.0.0.9' });
  const { open, untilClosed, ask, refused, isOpen, logs } = service;
  const kept = [open(), open(), open()];
  await Promise.all(kept.map((socket) => once(socket, 'connect')));
  await eventually(
    () => isOpen(3),
    () => 'they are not connected',
  );
  for (let i = 0; i < 5; i++) t.equal(await ask(), '', 'hung up on, unheard');
  t.equal(await refused('address'), 5);
  t.equal(await ask('127.0.0.2'), OK, 'another address is counted apart');
  for (const socket of Array.from({ length: 5 }, () => open('127.0.0.9'))) await once(socket, 'connect');
  t.equal(await ask('127.0.0.9'), OK, 'and a proxy not at all');
  const told = logs.filter(({ msg }) => msg.startsWith('too many connections'));
  t.match(told, [{ refused: 1, reason: 'address', ip: '127.0.0.1' }], 'one line, and not one for each');
  t.equal(told.length, 1);
  kept[0]?.destroy();
  await eventually(
    async () => (await ask()) === OK,
    () => 'his place is not free again',
  );
  await Promise.all(kept.slice(1).map(untilClosed));
});

t.test('the process has so many connections in all', async (t) => {
  const { open, ask, refused, isOpen } = await listen(t, { LIMIT_CONNECTIONS: '2', TRUST_PROXY: '127.0.0.0/8' });
  const kept = [open(), open('127.0.0.2')];
  await eventually(
    () => isOpen(2),
    () => 'they are not connected',
  );
  t.equal(await ask('127.0.0.3'), '');
  t.equal(await refused('process'), 1);
  for (const socket of kept) socket.destroy();
  await eventually(
    async () => (await ask()) === OK,
    () => 'their places are not free again',
  );
});

t.test('when most of them are taken, none is kept after its answer', async (t) => {
  const { open, untilClosed, isOpen, app } = await listen(t, { LIMIT_CONNECTIONS: '5' }, PATIENT);
  const answered = async (socket: Socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.write(GET);
    await eventually(
      () => text.includes('\r\n\r\n'),
      () => 'there is no answer',
    );
    return /^connection: (.*)\r$/im.exec(text)?.[1];
  };
  const kept = [open(), open(), open(), open()];
  for (const socket of kept) t.equal(await answered(socket), 'keep-alive');
  const last = open();
  t.equal(await answered(last), 'close');
  await untilClosed(last);
  await eventually(
    () => isOpen(4),
    () => 'its place is not free again',
  );
  t.ok(app.server.listening);
});

t.test('the port of the metrics and the socket of the command line have 50 connections each', async (t) => {
  const { services, metrics, app } = await startService(t, { database, keks });
  const metricsApp = await buildMetricsApp(metrics, app.log);
  const local = await buildLocalApp(services, app.log.child({ via: 'socket' }));
  for (const one of [metricsApp, local]) t.teardown(() => one.close());
  await metricsApp.listen({ host: '127.0.0.1', port: 0 });
  // The path of a Unix socket has to be short.
  const dataDir = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
  t.teardown(() => rmSync(dataDir, { recursive: true }));
  await listenOnSocket(local, dataDir);
  const { port } = metricsApp.server.address() as AddressInfo;
  for (const [name, to] of Object.entries({
    metrics: () => connect({ port, host: '127.0.0.1' }),
    'command line': () => connect(findSocket(dataDir).path ?? ''),
  })) {
    const sockets = Array.from({ length: 53 }, () => {
      const socket = to();
      socket.on('error', () => {});
      socket.resume();
      t.teardown(() => socket.destroy());
      return socket;
    });
    const open = () => sockets.filter(({ closed }) => !closed).length;
    await eventually(
      () => open() <= 50,
      () => `${open()} are open`,
    );
    t.equal(open(), 50, name);
    const [first] = sockets;
    let text = '';
    first?.on('data', (chunk) => {
      text += chunk;
    });
    first?.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(
      () => text.startsWith('HTTP/1.1 '),
      () => 'those who are in are not served',
    );
  }
});

t.test('who follows the feed of revocations may be silent for longer', async (t) => {
  const service = await listen(t);
  const { basic } = await oauthOf(service).confidential('reader', { scopes: ['revocations:read'] });
  const token = await oauthOf(service).tokenOf(basic);
  const socket = service.open();
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write(`GET /v1/revocations/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await eventually(
    () => text.includes('retry:'),
    () => 'it does not begin',
  );
  await sleep(TIMEOUTS.silence + 500);
  t.notOk(socket.destroyed);
});
