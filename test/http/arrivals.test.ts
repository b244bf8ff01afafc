/** Many who connect at once, over sockets: their requests, and those of others, wait until all are let in. */
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import { letInFirst } from '../../src/http/arrivals.js';
import { createApp } from '../../src/http/base-app.js';
import type { App } from '../../src/http/typed.js';
import { createLogger } from '../../src/logger.js';
import { countNothing } from '../../src/ports/metrics.js';
import { nowhere } from '../../src/ports/places.js';

const MANY = 40;
const GET = 'GET / HTTP/1.1\r\nHost: keyturn.example\r\n\r\n';

/** Its answer is how many connections it had let in when it began the request. */
async function listen(t: Test, app: App) {
  t.teardown(() => app.close());
  let letIn = 0;
  app.server.on('connection', () => letIn++);
  app.get('/', async () => ({ letIn }));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const open = () => {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    return socket;
  };
  return { open, arrival: () => once(app.server, 'connection') };
}

async function ask(socket: Socket): Promise<number> {
  socket.write(GET);
  const [answer] = await once(socket, 'data');
  return JSON.parse(String(answer).split('\r\n\r\n')[1] ?? '').letIn;
}

t.test('all who come at once are let in before anything is begun, for them or for who is in already', async (t) => {
  const services = { issuer: 'https://auth.example.com', places: nowhere, metrics: countNothing };
  const app = createApp(services, { logger: createLogger('silent'), trustProxy: [] });
  const { open, arrival } = await listen(t, app);
  const first = open();
  t.equal(await ask(first), 1, 'somebody who comes alone is served');
  const others = Array.from({ length: MANY }, open).map(ask);
  await arrival();
  const seen = await Promise.all([ask(first), ...others]);
  t.strictSame([...new Set(seen)], [MANY + 1]);
  t.equal(await ask(first), MANY + 1, 'and when nobody comes, requests begin as ever');
});

t.test('so many in a row, and requests are begun though others come', async (t) => {
  const app = Fastify() as unknown as App;
  letInFirst(app, MANY / 4);
  const { open } = await listen(t, app);
  const seen = await Promise.all(Array.from({ length: MANY }, open).map(ask));
  t.equal(Math.min(...seen), MANY / 4);
});
