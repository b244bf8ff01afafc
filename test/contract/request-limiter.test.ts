import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { createInProcessRequestLimiter } from '../../src/adapters/in-process/request-limiter.js';
import { connectRedis, type RedisConnection } from '../../src/adapters/redis/connection.js';
import { createSharedRequests } from '../../src/adapters/redis/request-limiter.js';
import type { RequestLimiter } from '../../src/ports/request-limiter.js';
import { fakeClock } from '../support/clock.js';
import { withoutRedis } from '../support/databases.js';

interface Subject {
  /** One that has counted nothing yet. */
  make(limit: number): RequestLimiter;
  /** What has been counted until now is known wherever it has to be. */
  settle(): Promise<void>;
  advance(seconds: number): Promise<void>;
}

const grants = (limiter: RequestLimiter, times: number, subject = 'a'): number => {
  let granted = 0;
  for (let i = 0; i < times; i++) if (limiter.take(subject).granted) granted++;
  return granted;
};

/** What any request limiter has to do. */
function requestLimiterContract(t: Test, { make, settle, advance }: Subject): void {
  t.test('a subject has as many requests as the limit says, and is told what is left', async (t) => {
    const limiter = make(3);
    t.equal(limiter.limit, 3);
    const told = [limiter.take('a'), limiter.take('a'), limiter.take('a'), limiter.take('a'), limiter.take('a')];
    t.strictSame(
      told.map(({ granted, left }) => [granted, left]),
      [
        [true, 2],
        [true, 1],
        [true, 0],
        [false, 0],
        [false, 0],
      ],
    );
    await settle();
    t.notOk(limiter.take('a').granted);
  });

  t.test('subjects are counted apart', async (t) => {
    const limiter = make(2);
    t.equal(grants(limiter, 3, 'a'), 2);
    await settle();
    t.equal(grants(limiter, 3, 'b'), 2);
  });

  t.test('a minute after the first request all are there again', async (t) => {
    const limiter = make(2);
    t.equal(limiter.take('a').resetsIn, 60);
    await settle();
    await advance(20);
    t.equal(grants(limiter, 2), 1);
    const { resetsIn } = limiter.take('a');
    t.ok(resetsIn >= 39 && resetsIn <= 40, `${resetsIn} s`);
    await settle();
    await advance(40);
    t.equal(grants(limiter, 3), 2);
  });

  t.test('looking counts nothing', async (t) => {
    const limiter = make(1);
    t.strictSame(limiter.look('a'), { granted: true, left: 1, resetsIn: 60 });
    for (let i = 0; i < 5; i++) limiter.look('a');
    t.ok(limiter.take('a').granted);
    t.notOk(limiter.look('a').granted);
    await settle();
    t.notOk(limiter.look('a').granted);
    await advance(60);
    t.ok(limiter.look('a').granted);
  });

  t.test('what is given back can be taken again, and no more than was taken', async (t) => {
    const limiter = make(2);
    limiter.giveBack('a');
    t.equal(grants(limiter, 3), 2);
    await settle();
    limiter.giveBack('a');
    await settle();
    t.equal(grants(limiter, 3), 1);
  });
}

t.test('in one process', async (t) => {
  const clock = fakeClock();
  const advance = async (seconds: number) => clock.advance(seconds);
  requestLimiterContract(t, {
    make: (limit) => createInProcessRequestLimiter(limit, clock),
    settle: async () => {},
    advance,
  });

  t.test('it does not count more subjects than it has room for, and keeps those that were seen last', async (t) => {
    const limiter = createInProcessRequestLimiter(1, clock, () => {}, 2);
    for (const subject of ['a', 'b', 'a', 'c']) limiter.take(subject);
    t.ok(limiter.look('b').granted, 'forgotten');
    t.notOk(limiter.look('a').granted);
    t.notOk(limiter.look('c').granted);
  });
});

t.test('over Redis', { skip: withoutRedis }, async (t) => {
  const redis = connectRedis(process.env.TEST_REDIS_URL ?? '', () => {});
  t.teardown(() => redis.close());
  const clock = fakeClock();
  const installation = randomUUID();
  const changes: boolean[] = [];
  const made: ReturnType<typeof createSharedRequests>[] = [];
  function node(of: string = installation, { speaker }: Pick<RedisConnection, 'speaker'> = redis) {
    const onChange = (reached: boolean) => void changes.push(reached);
    const shared = createSharedRequests({ redis: { speaker }, installation: async () => of, clock, onChange });
    made.push(shared);
    t.teardown(shared.close);
    return shared;
  }
  const settle = async () => {
    for (const shared of made) await shared.tell();
  };
  const advance = async (seconds: number) => {
    clock.advance(seconds);
    for (const key of await redis.speaker.keys(`{keyturn:${installation}*`))
      await redis.speaker.pexpire(key, (await redis.speaker.pttl(key)) - seconds * 1000);
  };
  /** Nodes that count together, and have told each other what they had to. */
  const nodes = (limit: number, of: string) => {
    const [one, two] = [node(of), node(of)];
    return [one.limiterOf('address', limit), two.limiterOf('address', limit)] as const;
  };

  requestLimiterContract(t, {
    // Each has keys of its own, of which `advance` knows.
    make: (limit) => node(`${installation}:${made.length}`).limiterOf('address', limit),
    settle,
    advance,
  });

  t.test('all nodes count together', async (t) => {
    const [one, two] = nodes(10, randomUUID());
    t.equal(grants(one, 6), 6);
    t.equal(grants(two, 1), 1);
    await settle();
    t.equal(two.look('a').left, 3);
    t.equal(grants(two, 10), 3);
    await settle();
    t.equal(grants(one, 10), 4, 'a node that has counted nothing since has heard nothing since');
    await settle();
    t.notOk(one.take('a').granted);
    t.notOk(two.take('a').granted);
  });

  t.test('another installation, another kind and another subject are counted apart', async (t) => {
    const of = randomUUID();
    t.equal(grants(node(of).limiterOf('address', 2), 2), 2);
    await settle();
    const later = node(of);
    for (const limiter of [node(randomUUID()).limiterOf('address', 2), later.limiterOf('session', 2)]) {
      limiter.take('a');
      await settle();
      t.equal(limiter.look('a').left, 1);
    }
    const same = later.limiterOf('address', 5);
    same.take('a');
    await settle();
    t.equal(same.look('a').left, 2);
  });

  t.test('of a large limit others hear in steps of a fiftieth', async (t) => {
    const [one, two] = nodes(500, randomUUID());
    grants(one, 9);
    await settle();
    grants(two, 10);
    await settle();
    t.equal(two.look('a').left, 490, 'nine are not worth a message');
    grants(one, 3);
    await settle();
    t.equal(one.look('a').left, 478, 'and then all that have come together are told');
  });

  t.test('many subjects are told of in one round', async (t) => {
    const of = randomUUID();
    const [one, two] = nodes(2, of);
    const names = Array.from({ length: 2000 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);
    for (const name of names) one.take(name);
    await settle();
    for (const name of names) two.take(name);
    await settle();
    t.equal(names.filter((name) => two.look(name).granted).length, 0);
    const keys = await redis.speaker.keys(`{keyturn:${of}*`);
    t.equal(keys.length, names.length);
    for (const key of keys.slice(0, 20)) t.ok((await redis.speaker.pttl(key)) > 0, 'each ends by itself');
  });

  t.test('a server that has forgotten the script, or the counts, takes nothing from anybody', async (t) => {
    const of = randomUUID();
    const limiter = node(of).limiterOf('address', 4);
    grants(limiter, 2);
    await settle();
    await redis.speaker.script('FLUSH');
    await redis.speaker.del(await redis.speaker.keys(`{keyturn:${of}*`));
    limiter.take('a');
    await settle();
    t.strictSame(limiter.look('a'), { granted: true, left: 1, resetsIn: 60 });
  });

  t.test('without an answer each counts for itself at once, says so once, and again when it is back', async (t) => {
    const of = randomUUID();
    let isAway = true;
    const away = new Proxy(redis.speaker, {
      get: (target, name) =>
        isAway ? () => Promise.reject(new Error('gone')) : (Reflect.get(target, name) as () => unknown).bind(target),
    });
    const lonely = node(of, { speaker: away });
    const limiter = lonely.limiterOf('address', 3);
    changes.length = 0;
    t.equal(grants(limiter, 2), 2);
    await lonely.tell();
    t.strictSame(changes, [false]);
    t.equal(grants(limiter, 2), 1, 'never none');
    clock.advance(2);
    isAway = false;
    await lonely.tell();
    t.strictSame(changes, [false, true]);
    t.notOk(limiter.take('a').granted);
  });
});
