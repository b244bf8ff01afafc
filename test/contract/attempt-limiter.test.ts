import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { createInProcessLimiter } from '../../src/adapters/in-process/attempt-limiter.js';
import { createInsuredLimiter, createShared } from '../../src/adapters/insured/attempt-limiter.js';
import { createRedisLimiter } from '../../src/adapters/redis/attempt-limiter.js';
import { connectRedis, type RedisConnection } from '../../src/adapters/redis/connection.js';
import type { AttemptLimiter, LimitSettings } from '../../src/ports/attempt-limiter.js';
import { fakeClock } from '../support/clock.js';
import { withoutRedis } from '../support/databases.js';

const settings: LimitSettings = { failures: 3, window: 60, block: 300 };
/** Milliseconds. How soon Redis answers on a busy machine is not what this is about. */
const PATIENCE_MS = 5_000;
const slowing: LimitSettings = { failures: 2, window: 60, block: 1, longestBlock: 5 };

interface Subject {
  /** One that has counted nothing yet. */
  make(settings: LimitSettings): AttemptLimiter;
  advance(seconds: number): Promise<void> | void;
}

/** What any attempt limiter has to do. */
function attemptLimiterContract(t: Test, { make, advance }: Subject): void {
  const failTimes = async (limiter: AttemptLimiter, times: number, subject = 'a') => {
    let last = 0;
    for (let i = 0; i < times; i++) last = (await limiter.fail(subject)).blockedFor;
    return last;
  };

  t.test('whoever has not failed is not blocked', async (t) => {
    t.equal(await make(settings).blockedFor('a'), 0);
  });

  t.test('the failure that reaches the limit blocks', async (t) => {
    const limiter = make(settings);
    t.equal(await failTimes(limiter, 2), 0);
    t.equal(await limiter.blockedFor('a'), 0);
    t.strictSame(await limiter.fail('a'), { blockedFor: 300, begins: true });
    t.equal(await limiter.blockedFor('a'), 300);
  });

  t.test('subjects are counted apart', async (t) => {
    const limiter = make(settings);
    await failTimes(limiter, 3, 'a');
    await failTimes(limiter, 2, 'b');
    t.equal(await limiter.blockedFor('b'), 0);
    t.equal(await limiter.blockedFor('a:'), 0);
  });

  t.test('a block ends by itself, and the count with it', async (t) => {
    const limiter = make(settings);
    await failTimes(limiter, 3);
    await advance(299.5);
    t.equal(await limiter.blockedFor('a'), 1, 'part of a second is a second');
    await advance(0.5);
    t.equal(await limiter.blockedFor('a'), 0);
    t.equal(await failTimes(limiter, 2), 0, 'counted anew');
    t.strictSame(await limiter.fail('a'), { blockedFor: 300, begins: true });
  });

  t.test('failures in a block do not make it longer', async (t) => {
    const limiter = make(settings);
    await failTimes(limiter, 3);
    await advance(100);
    t.equal(await failTimes(limiter, 4), 200);
    t.strictSame(await limiter.fail('a'), { blockedFor: 200, begins: false });
    t.equal(await limiter.blockedFor('a'), 200);
  });

  t.test('failures are forgotten with their window', async (t) => {
    const limiter = make(settings);
    await failTimes(limiter, 2);
    await advance(60);
    t.equal(await failTimes(limiter, 2), 0);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('with a limit of one the first failure blocks', async (t) => {
    const limiter = make({ ...settings, failures: 1 });
    t.equal(await limiter.blockedFor('a'), 0);
    t.equal(await failTimes(limiter, 1), 300);
    t.equal(await limiter.blockedFor('a'), 300);
    await advance(300);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('a limit of none turns it off', async (t) => {
    const limiter = make({ ...settings, failures: 0 });
    t.equal(await failTimes(limiter, 100), 0);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('a block of no time blocks nobody', async (t) => {
    const limiter = make({ ...settings, block: 0 });
    t.equal(await failTimes(limiter, 5), 0);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('a block of years does not end at once', async (t) => {
    const limiter = make({ ...settings, failures: 1, block: 3650 * 86_400 });
    await limiter.fail('a');
    await advance(30 * 86_400);
    t.ok((await limiter.blockedFor('a')) > 3600 * 86_400);
  });

  t.test('where blocks get longer each one is twice the last, up to the longest', async (t) => {
    const limiter = make(slowing);
    await limiter.fail('a');
    for (const length of [1, 2, 4, 5, 5]) {
      t.strictSame(await limiter.fail('a'), { blockedFor: length, begins: true });
      await advance(length);
      t.equal(await limiter.blockedFor('a'), 0);
    }
  });

  t.test('and are forgotten after a window without one', async (t) => {
    const limiter = make(slowing);
    t.equal(await failTimes(limiter, 2), 1);
    await advance(1 + 59);
    t.equal(await failTimes(limiter, 1), 2);
    await advance(2 + 60);
    t.equal(await failTimes(limiter, 1), 0);
    t.equal(await failTimes(limiter, 1), 1);
  });

  t.test('parallel failures are all counted, and one of them begins the block', async (t) => {
    const limiter = make({ ...settings, failures: 10 });
    const failures = await Promise.all(Array.from({ length: 100 }, () => limiter.fail('a')));
    t.equal(failures.filter(({ blockedFor }) => blockedFor === 0).length, 9);
    t.equal(failures.filter(({ begins }) => begins).length, 1);
    t.equal(await limiter.blockedFor('a'), 300);
  });
}

t.test('in one process', async (t) => {
  const clock = fakeClock();
  attemptLimiterContract(t, { make: (settings) => createInProcessLimiter(settings, clock), advance: clock.advance });

  t.test('it does not count more subjects than it has room for, and keeps those that failed last', async (t) => {
    const limiter = createInProcessLimiter({ ...settings, failures: 2 }, clock, 2);
    for (const subject of ['a', 'b', 'b', 'a', 'c']) await limiter.fail(subject);
    t.equal(await limiter.blockedFor('b'), 0, 'forgotten');
    t.equal(await limiter.blockedFor('a'), 300);
    t.equal(await limiter.blockedFor('c'), 0);
  });
});

t.test('over Redis', { skip: withoutRedis }, async (t) => {
  const redis = connectRedis(process.env.TEST_REDIS_URL ?? '', () => {});
  t.teardown(() => redis.close());
  const installation = randomUUID();
  let made = 0;
  const limiterOf = (kind: string, settings: LimitSettings, of = installation) =>
    createRedisLimiter(redis, async () => of, kind, settings, PATIENCE_MS);
  const make = (settings: LimitSettings) => limiterOf(`kind-${made++}`, settings);
  attemptLimiterContract(t, { make, advance: (seconds) => advanceKeys(redis, installation, seconds) });

  t.test('all nodes count together', async (t) => {
    const kind = `kind-${made++}`;
    const nodes = [0, 1].map(() => limiterOf(kind, settings));
    const failures = await Promise.all(Array.from({ length: 20 }, (_, i) => nodes[i % 2]?.fail('a')));
    t.equal(failures.filter((failure) => failure?.blockedFor === 0).length, 2);
    t.equal(failures.filter((failure) => failure?.begins).length, 1);
  });

  t.test('those of another installation, or of another kind, do not', async (t) => {
    const limiter = limiterOf('mine', { ...settings, failures: 1 });
    await limiter.fail('a');
    const others = [limiterOf('mine', settings, randomUUID()), limiterOf('other', settings)];
    for (const other of others) t.equal(await other.blockedFor('a'), 0);
    t.equal(await limiter.blockedFor('a'), 300);
  });

  t.test('nobody waits for a database that does not say which installation this is', async (t) => {
    const hung = () => new Promise<string>(() => {});
    const limiter = createRedisLimiter(redis, hung, `kind-${made++}`, settings, 10);
    await t.rejects(limiter.blockedFor('a'), /no answer/);
    await t.rejects(limiter.fail('a'), /no answer/);
  });

  t.test('a server that has forgotten the script is sent it', async (t) => {
    const limiter = make({ ...settings, failures: 1 });
    await redis.speaker.script('FLUSH');
    t.strictSame(await limiter.fail('a'), { blockedFor: 300, begins: true });
  });

  t.test('every key ends by itself', async (t) => {
    await make(slowing).fail('a');
    for (const key of await redis.speaker.keys(`*${installation}*`)) {
      t.ok((await redis.speaker.pttl(key)) > 0, key);
    }
  });
});

t.test('over Redis, with the process itself in reserve', { skip: withoutRedis }, async (t) => {
  const redis = connectRedis(process.env.TEST_REDIS_URL ?? '', () => {});
  t.teardown(() => redis.close());
  const clock = fakeClock();
  const installation = randomUUID();
  const shared = createShared(clock, () => {});
  let made = 0;
  attemptLimiterContract(t, {
    make: (settings) =>
      createInsuredLimiter(
        shared,
        createRedisLimiter(redis, async () => installation, `kind-${made++}`, settings, PATIENCE_MS),
        createInProcessLimiter(settings, clock),
      ),
    async advance(seconds) {
      clock.advance(seconds);
      await advanceKeys(redis, installation, seconds);
    },
  });
});

/** Moves the time of a server on, as far as its keys can tell. */
async function advanceKeys({ speaker }: RedisConnection, installation: string, seconds: number): Promise<void> {
  for (const key of await speaker.keys(`*${installation}*`)) {
    await speaker.pexpire(key, (await speaker.pttl(key)) - seconds * 1000);
  }
}
