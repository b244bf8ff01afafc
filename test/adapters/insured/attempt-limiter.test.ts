/** What becomes of failed attempts while Redis is away, hangs, or comes back with nothing in it. */
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { createInProcessLimiter } from '../../../src/adapters/in-process/attempt-limiter.js';
import { createInsuredLimiter, createShared } from '../../../src/adapters/insured/attempt-limiter.js';
import { createRedisLimiter } from '../../../src/adapters/redis/attempt-limiter.js';
import { connectRedis } from '../../../src/adapters/redis/connection.js';
import type { AttemptLimiter } from '../../../src/ports/attempt-limiter.js';
import { type FakeClock, fakeClock } from '../../support/clock.js';
import { eventually } from '../../support/process.js';
import { startRedisServer } from '../../support/redis-topologies.js';
import { hasRedis } from '../../support/servers.js';

/** Milliseconds; for a busy machine. */
const PATIENCE_MS = 500;
const settings = { failures: 3, window: 60, block: 300 };
const withoutRedis = !hasRedis() && 'no Redis: install redis-server';
const server = hasRedis() ? await startRedisServer(t) : null;

/** Two nodes on the server, with one clock. */
async function nodesOn(t: Test, url: string) {
  const clock = fakeClock();
  const installation = randomUUID();
  const node = async () => {
    const redis = connectRedis(url, () => {});
    t.teardown(() => redis.close());
    await redis.speaker.ping();
    const changes: boolean[] = [];
    const shared = createShared(clock, (reached) => changes.push(reached));
    const everywhere = createRedisLimiter(redis, async () => installation, 'address', settings, PATIENCE_MS);
    return { ...createInsuredLimiter(shared, everywhere, createInProcessLimiter(settings, clock)), changes };
  };
  return { one: await node(), two: await node(), clock };
}

const isBack = (node: AttemptLimiter & { changes: boolean[] }, clock: FakeClock) =>
  eventually(
    async () => {
      clock.advance(1);
      await node.blockedFor('somebody');
      return node.changes.at(-1) === true;
    },
    () => 'the node did not find the server again',
  );

t.test(
  'a server that hangs costs one attempt a moment, and no failure its count',
  { skip: withoutRedis },
  async (t) => {
    const { one, two, clock } = await nodesOn(t, server?.url ?? '');
    await one.fail('a');
    t.equal(await two.blockedFor('a'), 0, 'both have a connection');
    server?.pause();
    const begun = performance.now();
    t.equal((await one.fail('a')).blockedFor, 0);
    t.strictSame(await one.fail('a'), { blockedFor: 300, begins: true }, 'what was counted before is not forgotten');
    t.equal(await one.blockedFor('a'), 300);
    for (let i = 0; i < 20; i++) await one.blockedFor('c');
    const waited = performance.now() - begun;
    t.ok(waited < 10 * PATIENCE_MS, `one of them has waited for the server: ${waited} ms`);
    for (let i = 0; i < 3; i++) await two.fail('b');
    t.equal(await two.blockedFor('b'), 300, 'each node for itself');
    t.equal(await one.blockedFor('b'), 0);
    t.strictSame([one.changes, two.changes], [[false], [false]], 'told once');

    server?.resume();
    await isBack(one, clock);
    t.strictSame(one.changes, [false, true]);
    t.ok((await one.blockedFor('a')) > 0, 'whom it has blocked meanwhile stays blocked');
  },
);

t.test('a server that is gone and comes back empty', { skip: withoutRedis }, async (t) => {
  const { one, two, clock } = await nodesOn(t, server?.url ?? '');
  for (let i = 0; i < 3; i++) await one.fail('a');
  t.equal(await two.blockedFor('a'), 300);
  await server?.kill();
  t.equal(await one.blockedFor('a'), 300, 'who had failed here is blocked');
  t.strictSame(await one.fail('a'), { blockedFor: 300, begins: false });
  for (let i = 0; i < 2; i++) await one.fail('b');
  t.strictSame(await one.fail('b'), { blockedFor: 300, begins: true });
  t.strictSame(one.changes, [false]);
  await server?.restart();
  await isBack(one, clock);
  t.strictSame(one.changes, [false, true]);
  t.ok((await one.blockedFor('a')) > 0);
  const again = await one.fail('a');
  t.notOk(again.begins, 'a failure that the server now counts as the first');
  t.ok(again.blockedFor > 0);
});

const forever: AttemptLimiter = { blockedFor: async () => 0, fail: async () => ({ blockedFor: 0, begins: false }) };

t.test('a block that begins here alone has begun, too', async (t) => {
  const clock = fakeClock();
  const shared = createShared(clock, () => {});
  const node = createInsuredLimiter(shared, forever, createInProcessLimiter(settings, clock));
  for (let i = 0; i < 2; i++) await node.fail('a');
  t.strictSame(await node.fail('a'), { blockedFor: 300, begins: true });
  t.strictSame(await node.fail('a'), { blockedFor: 300, begins: false });
});

t.test('the late answer of a server that is slow does not say that it is back', async (t) => {
  const clock = fakeClock();
  const changes: boolean[] = [];
  const shared = createShared(clock, (reached) => changes.push(reached));
  let answer = (_: string) => {};
  const slow = shared.ask(
    () =>
      new Promise<string>((resolve) => {
        answer = resolve;
      }),
  );
  await shared.ask(() => Promise.reject(new Error('no answer')));
  answer('late');
  t.equal(await slow, 'late', 'though it is used');
  t.strictSame(changes, [false]);
  t.equal(await shared.ask(async () => 'asked'), null, 'it is left alone');
  clock.advance(1);
  t.equal(await shared.ask(async () => 'asked'), 'asked');
  t.strictSame(changes, [false, true]);
});
