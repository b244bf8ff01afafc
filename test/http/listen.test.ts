import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import t from 'tap';
import { createMetrics } from '../../src/adapters/prometheus/metrics.js';
import { listen } from '../../src/http/listen.js';
import { buildMetricsApp } from '../../src/http/metrics-app.js';
import { createLogger } from '../../src/logger.js';

t.test('localhost is one server, which all limits are about', async (t) => {
  const app = await buildMetricsApp(createMetrics(), createLogger('silent'));
  t.teardown(() => app.close());
  const asked = t.capture(app, 'listen', app.listen);
  await listen(app, 'localhost', 0, 'PORT');
  t.match(asked(), [{ args: [{ host: /^(127\.0\.0\.1|::1)$/ }] }], 'the framework is told no name');
  t.equal(app.addresses().length, 1);
});

t.test('a port that is taken is named with the variable that sets it', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.teardown(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const app = await buildMetricsApp(createMetrics(), createLogger('silent'));
  t.teardown(() => app.close());
  const message = `port ${port} is in use: stop what listens there, or set METRICS_PORT to another`;
  await t.rejects(listen(app, '127.0.0.1', port, 'METRICS_PORT'), { message });
});

/** More than Node's own backlog, and far below the service's. */
const MANY = 600;
const SOON_MS = 900;
const ALLOWED = '/proc/sys/net/core/somaxconn';
const isAllowed = existsSync(ALLOWED) && Number(readFileSync(ALLOWED, 'utf8')) > MANY;

/** How many wait to be let in at a port of 127.0.0.1, by the kernel. */
function waitingAt(port: number): number {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const listening = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, , state]) => local === address && state === '0A');
  return Number.parseInt(listening?.[4]?.split(':')[1] ?? '', 16);
}

const skip = isAllowed ? false : `${ALLOWED} does not allow ${MANY}`;
t.test('hundreds who connect at once all wait to be let in, and none has to ask again', { skip }, async (t) => {
  const app = await buildMetricsApp(createMetrics(), createLogger('silent'));
  t.teardown(() => app.close());
  await listen(app, '127.0.0.1', 0, 'PORT');
  const { port } = app.server.address() as AddressInfo;
  for (let i = 0; i < MANY; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    t.teardown(() => socket.destroy());
  }
  // The calls to connect are made now, and nobody is let in before the next turn of the event loop.
  await new Promise((resolve) => process.nextTick(resolve));
  // A busy kernel may be a moment late, and whoever had to ask again would be there after a second.
  const until = performance.now() + SOON_MS;
  while (waitingAt(port) < MANY && performance.now() < until);
  t.equal(waitingAt(port), MANY);
});
