/** What becomes of open connections when the service stops: over sockets, which clients keep open for as long as they can. */
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { fastDatabase } from '../support/databases.js';
import { startService, testKeks } from '../support/service.js';

/** Far below the 72 s after which the server would close a kept connection by itself. */
const SOON_MS = 5_000;
const GET = 'GET /readyz HTTP/1.1\r\nHost: keyturn.example\r\n\r\n';

const database = await fastDatabase(t);
const keks = testKeks();

/** A service whose /readyz answers when `answer` is called. */
async function listen(t: Test) {
  const { app, services } = await startService(t, { database, keks });
  let answer = () => {};
  const asked = new Promise<void>((resolve) => {
    services.readiness.missing = () => {
      resolve();
      return new Promise((done) => {
        answer = () => done([]);
      });
    };
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  /** True when the server has closed everything soon after it was told to. */
  const close = async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), SOON_MS);
    });
    const closed = await Promise.race([app.close().then(() => true), late]);
    clearTimeout(timer);
    app.server.closeAllConnections();
    return closed;
  };
  return { open, close, asked, answer: () => answer() };
}

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text;
}

t.test('a connection that is kept open is closed with the answer to its last request', async (t) => {
  const { open, close, asked, answer } = await listen(t);
  const socket = await open();
  const text = textOf(socket);
  socket.write(GET);
  await asked;
  const closed = close();
  setImmediate(answer);
  t.ok(await closed, 'nobody waits for it');
  t.match(await text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n/i);
});

t.test('a request that is in when the service begins to stop is answered, not refused', async (t) => {
  const { open, close, asked, answer } = await listen(t);
  const socket = await open();
  const text = textOf(socket);
  socket.write(GET.slice(0, 10));
  await once(await other(open), 'data');
  const closed = close();
  socket.write(GET.slice(10));
  await asked;
  answer();
  t.ok(await closed);
  t.match(await text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*x-request-id: /i);
});

t.test('a connection on which nothing was ever sent is not waited for', async (t) => {
  const { open, close } = await listen(t);
  const silent = await open();
  await once(await other(open), 'data');
  const text = textOf(silent);
  t.ok(await close());
  t.equal(await text, '');
});

/** Its answer shows that what was sent on other connections before it has arrived. */
async function other(open: () => Promise<Socket>): Promise<Socket> {
  const socket = await open();
  socket.write(GET.replace('/readyz', '/livez'));
  return socket;
}
