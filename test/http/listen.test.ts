import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
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
