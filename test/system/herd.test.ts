/** What a herd of requests leaves behind in a process: nothing that could be seen afterwards. */
import { connect } from 'node:net';
import t from 'tap';
import { load } from '../../bench/http-load.js';
import { samplesOf } from '../support/metrics.js';
import { launchReady } from '../support/process.js';
import { freePort } from '../support/servers.js';

const OK = 'HTTP/1.1 200';
/** Some seconds of checks, on a busy machine more of them. */
const CHECKS = 20_000;
/** Looks at all of the heap meanwhile: one or none where all is well, up to eight where it is not. */
const MOST_LOOKS = 2;

t.test('after a herd garbage is looked for as seldom as before', async (t) => {
  const metricsPort = await freePort();
  const limits = { LIMIT_REQUESTS: '100000000', LIMIT_CHECKS: '100000000' };
  const service = await launchReady(t, { ...limits, METRICS_PORT: String(metricsPort) });
  await service.register();
  const { access_token: token } = await service.login();
  const request = `GET /v1/authorize?audience=api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;

  const looks = async () => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    return samplesOf(text, 'nodejs_gc_duration_seconds_count')['kind="major"'] ?? 0;
  };
  async function looksUnderLoad(): Promise<number> {
    const before = await looks();
    for (let checks = 0; checks < CHECKS; ) {
      const { latencies } = await load({
        port: service.port,
        connections: 32,
        seconds: 1,
        request: () => request,
        answered(_asker, head) {
          if (!head.startsWith(OK)) throw new Error(head.slice(0, 12));
        },
      });
      checks += latencies.length;
    }
    return (await looks()) - before;
  }

  await looksUnderLoad();
  const before = await looksUnderLoad();
  t.ok(before <= MOST_LOOKS, `${before} before`);
  // More than may wait behind each other on one connection: they are hung up on.
  const hungUpOn = Array.from({ length: 64 }, async () => {
    const socket = connect(service.port, '127.0.0.1').on('error', () => {});
    socket.resume().write(request.repeat(400));
    await new Promise((resolve) => socket.once('close', resolve));
  });
  await Promise.all(hungUpOn);
  await looksUnderLoad();
  const after = await looksUnderLoad();
  t.ok(after <= MOST_LOOKS, `${after} after`);
});
