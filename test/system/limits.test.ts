/** Two services on one Redis count together, and each for itself where there is none. */
import t from 'tap';
import { createMetrics } from '../../src/adapters/prometheus/metrics.js';
import { readConfig } from '../../src/config.js';
import { openMessaging } from '../../src/foundation.js';
import { fastDatabase } from '../support/databases.js';
import { samplesOf } from '../support/metrics.js';
import { eventually } from '../support/process.js';
import { startRedisServer } from '../support/redis-topologies.js';
import { hasRedis } from '../support/servers.js';
import { codeOf, PASSWORD, startService, testEnvironment, testKeks } from '../support/service.js';

/** Milliseconds. A busy machine is not a Redis that is away; one that is gone says so at once. */
const PATIENCE_MS = 5_000;
const skip = !hasRedis() && 'no Redis: install redis-server';

t.test('two services on one Redis', { skip }, async (t) => {
  const redis = await startRedisServer(t);
  const database = await fastDatabase(t);
  const keks = testKeks();
  const logged: string[] = [];
  const log = {
    info: (_fields: object, message: string) => logged.push(message),
    warn: (_fields: object, message: string) => logged.push(message),
  };
  const env = { LIMIT_FAILURES: '5', LIMIT_ACCOUNT_FAILURES: '0', LIMIT_REQUESTS: '600', REDIS_URL: redis.url };
  const start = async () => {
    const config = readConfig({ ...testEnvironment, ...env, DATABASE_URL: 'postgres://nobody@127.0.0.1/nothing' });
    const metrics = createMetrics();
    const messaging = await openMessaging(config, database, log, metrics, PATIENCE_MS);
    t.teardown(() => messaging.close());
    const { limiterOf, requestLimiterOf } = messaging;
    const service = await startService(t, { database, keks, env, metrics, limiterOf, requestLimiterOf });
    await messaging.announcements.ping();
    return service;
  };
  const services = [await start(), await start()] as const;
  const [one, two] = services;
  await one.register();
  const login = (service: (typeof services)[number], remoteAddress: string, password = PASSWORD) =>
    service.app.inject({
      method: 'POST',
      url: '/v1/login',
      remoteAddress,
      payload: { email: 'ada@example.com', password },
    });
  const codes = (answers: Awaited<ReturnType<typeof login>>[]) => {
    const count: Record<string, number> = {};
    for (const answer of answers) count[codeOf(answer)] = (count[codeOf(answer)] ?? 0) + 1;
    return count;
  };
  const isShared = async () =>
    Promise.all(services.map(async ({ metrics }) => samplesOf(await metrics.text(), 'keyturn_limit_shared')['']));

  t.test('500 wrong passwords at once get five answers', async (t) => {
    const guesses = Array.from({ length: 500 }, (_, i) => login(i % 2 ? one : two, '192.0.2.1', `guess ${i}`));
    t.strictSame(codes(await Promise.all(guesses)), { invalid_credentials: 5, too_many_attempts: 495 });
    for (const service of services) {
      t.equal(codeOf(await login(service, '192.0.2.1')), 'too_many_attempts');
      t.equal((await login(service, '192.0.2.2')).statusCode, 200);
    }
    t.strictSame(logged, []);
  });

  t.test('requests are counted for both, a moment later', async (t) => {
    const ask = ({ app }: (typeof services)[number]) =>
      app.inject({ method: 'GET', url: '/v1/me', remoteAddress: '192.0.2.9' });
    await Promise.all(Array.from({ length: 300 }, () => ask(one)));
    const left = async () => Number(/;r=(\d+);/.exec(String((await ask(two)).headers.ratelimit))?.[1]);
    const heard = eventually(
      async () => (await left()) < 300,
      () => 'the other does not hear of them',
    );
    await t.resolves(heard);
  });

  t.test('without Redis each counts for itself, at once, and says so once', async (t) => {
    await redis.kill();
    const guesses = Array.from({ length: 40 }, (_, i) => login(one, '192.0.2.3', `guess ${i}`));
    t.strictSame(codes(await Promise.all(guesses)), { invalid_credentials: 5, too_many_attempts: 35 });
    t.equal(codeOf(await login(one, '192.0.2.1')), 'too_many_attempts', 'whom it had blocked stays blocked');
    t.equal((await login(two, '192.0.2.3')).statusCode, 200, 'the other knows nothing of it');
    t.strictSame(await isShared(), [0, 0]);
    const local = logged.filter((message) => message.startsWith('failed attempts are counted by each node for itself'));
    t.equal(local.length, 2, 'one line for each');
  });

  t.test('and when it is back they count together again', async (t) => {
    await redis.restart();
    await eventually(
      async () => {
        for (const service of services) await login(service, '192.0.2.4');
        return (await isShared()).every((shared) => shared === 1);
      },
      () => 'the services did not find Redis again',
    );
    for (const i of [0, 1, 2, 3, 4]) await login(i % 2 ? one : two, '192.0.2.5', `guess ${i}`);
    for (const service of services) t.equal(codeOf(await login(service, '192.0.2.5')), 'too_many_attempts');
    t.equal(
      codeOf(await login(one, '192.0.2.3')),
      'too_many_attempts',
      'whom one had blocked alone stays blocked there',
    );
    t.equal(
      logged.filter((message) => message.startsWith('failed attempts are counted for all nodes again')).length,
      2,
    );
  });
});
