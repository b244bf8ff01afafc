import t, { type Test } from 'tap';
import { createApp } from '../../src/http/base-app.js';
import type { App } from '../../src/http/typed.js';
import { createLogger } from '../../src/logger.js';
import { countNothing } from '../../src/ports/metrics.js';
import { nowhere } from '../../src/ports/places.js';

const SOON_MS = 20;
const TIMEOUTS = { request: 5_000, check: 2_000, answer: SOON_MS, silence: 5_000, keepAlive: 5_000 };

async function appWith(t: Test, handler: () => Promise<unknown>, config = {}): Promise<App> {
  const services = { issuer: 'https://auth.example.com', places: nowhere, metrics: countNothing };
  const app = createApp(services, { logger: createLogger('silent'), trustProxy: [], timeouts: TIMEOUTS });
  t.teardown(() => app.close());
  app.get('/', { config }, handler);
  return app;
}

t.test('an answer that takes too long is given up: 503, and what comes later is dropped', async (t) => {
  let finish = (_: unknown): void => {};
  const slow = new Promise((resolve) => {
    finish = resolve;
  });
  const app = await appWith(t, () => slow);
  const answer = await app.inject('/');
  finish({ late: true });
  t.equal(answer.statusCode, 503);
  t.match(answer.json(), { code: 'overloaded' });
  t.ok(Number(answer.headers['retry-after']) > 0);
});

t.test('one that is there in time, and one that has no end, are not', async (t) => {
  const inTime = await appWith(t, async () => ({ ok: true }));
  t.equal((await inTime.inject('/')).statusCode, 200);
  const later = () => new Promise((resolve) => setTimeout(resolve, 3 * SOON_MS, { ok: true }));
  const endless = await appWith(t, later, { endless: true });
  t.equal((await endless.inject('/')).statusCode, 200);
});
