import { hash as argon2 } from 'argon2';
import t from 'tap';
import { createPasswordHasher, type HasherSettings } from '../../src/adapters/argon2/password-hasher.js';
import { readConfig } from '../../src/config.js';

const cheap: HasherSettings = {
  memoryKib: 8,
  timeCost: 1,
  parallelism: 1,
  concurrency: 2,
  queue: 100,
  longestWait: 60_000,
};
/** Slow enough for all calls of a test to arrive before the first is done. */
const slow = { ...cheap, memoryKib: 65_536, timeCost: 2 };
const refusal = { name: 'Refusal', code: 'overloaded', retryAfter: 2 };

const codes = (results: PromiseSettledResult<unknown>[]) =>
  results.map((result) => (result.status === 'fulfilled' ? 'done' : result.reason.code));

t.test('the configured default is what OWASP recommends for argon2id', async (t) => {
  const config = readConfig({});
  const hasher = createPasswordHasher({
    ...cheap,
    memoryKib: config.ARGON2_MEMORY_KIB,
    timeCost: config.ARGON2_TIME_COST,
    parallelism: config.ARGON2_PARALLELISM,
  });
  const hash = await hasher.hash('a long walk by the sea');
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  t.strictSame(await hasher.verify('a long walk by the sea', hash), { ok: true, rehash: false });
});

t.test('a hash is of one password, and salted', async (t) => {
  const hasher = createPasswordHasher(cheap);
  const [one, two] = [await hasher.hash('same'), await hasher.hash('same')];
  t.not(one, two);
  for (const hash of [one, two]) t.strictSame(await hasher.verify('same', hash), { ok: true, rehash: false });
  for (const other of ['Same', 'same ', 'same\u0000', ''])
    t.notOk((await hasher.verify(other, one)).ok, JSON.stringify(other));
  const long = 'x'.repeat(4096);
  t.notOk((await hasher.verify(`${long}y`, await hasher.hash(long))).ok, 'nothing is cut off');
});

t.test('a hash of another cost still verifies, and is said to need another', async (t) => {
  const old = await createPasswordHasher(cheap).hash('same');
  for (const more of [{ memoryKib: 16 }, { timeCost: 2 }, { memoryKib: 16, parallelism: 2 }]) {
    const hasher = createPasswordHasher({ ...cheap, ...more });
    t.strictSame(await hasher.verify('same', old), { ok: true, rehash: true }, JSON.stringify(more));
    t.strictSame(await hasher.verify('other', old), { ok: false, rehash: true });
  }
});

t.test('a hash that cannot be read is a fault, not a wrong password', async (t) => {
  const hasher = createPasswordHasher(cheap);
  await t.rejects(hasher.verify('same', 'not a hash'), TypeError);
});

t.test('verifying nothing says nothing', async (t) => {
  const hasher = createPasswordHasher(cheap);
  t.equal(await hasher.verifyNothing('anything'), undefined);
  t.equal(await hasher.verifyNothing('nobody has this password'), undefined);
});

t.test('what unknown e-mails are compared with is made again where that failed at the start', async (t) => {
  const { from } = Buffer;
  let failed = 0;
  const failing = (...args: Parameters<typeof from>) => {
    if ((args[0] as unknown) !== 'nobody has this password') return from(...args);
    failed++;
    throw new Error('no memory');
  };
  const restore = t.intercept(Buffer, 'from', { value: failing });
  const hasher = createPasswordHasher(cheap);
  await t.rejects(hasher.verifyNothing('anything'), { message: 'no memory' });
  t.ok(failed > 0);
  restore.restore();
  t.equal(await hasher.verifyNothing('anything'), undefined);
});

t.test('whoever finds the queue full is told so at once, and the others are served', async (t) => {
  const hash = await argon2('same', { memoryCost: slow.memoryKib, timeCost: slow.timeCost, parallelism: 1 });
  const calls = {
    hash: (hasher: ReturnType<typeof createPasswordHasher>) => hasher.hash('same'),
    verify: (hasher: ReturnType<typeof createPasswordHasher>) => hasher.verify('same', hash),
    verifyNothing: (hasher: ReturnType<typeof createPasswordHasher>) => hasher.verifyNothing('same'),
  };
  for (const [name, call] of Object.entries(calls)) {
    const hasher = createPasswordHasher({ ...slow, concurrency: 1, queue: 1 });
    const results = await Promise.allSettled([call(hasher), call(hasher), call(hasher), call(hasher)]);
    t.strictSame(codes(results), ['done', 'done', 'overloaded', 'overloaded'], name);
    t.match(results[3], { reason: refusal });
    t.strictSame(codes(await Promise.allSettled([call(hasher)])), ['done'], 'there is room again');
  }
});

t.test('whoever would wait for too long is told so at once, and whoever has is not begun', async (t) => {
  const hasher = createPasswordHasher({ ...slow, concurrency: 1, longestWait: 20 });
  t.equal(hasher.expectedWait(), 0);
  const burst = Array.from({ length: 20 }, () => hasher.hash('same'));
  const settled = Promise.allSettled(burst);
  await burst[0];
  t.ok(hasher.expectedWait() > hasher.longestWait, `${hasher.expectedWait()} ms`);
  t.match(await Promise.allSettled([hasher.hash('same')]), [{ status: 'rejected', reason: refusal }]);
  const all = codes(await settled);
  t.equal(all[0], 'done');
  t.ok(all.filter((code) => code === 'overloaded').length >= 10, 'those at the end had waited in vain');
  t.equal(hasher.expectedWait(), 0);
  t.strictSame(codes(await Promise.allSettled([hasher.hash('same')])), ['done'], 'and who comes then is served');
});

t.test('no more hashes are computed at one time than configured', async (t) => {
  const hasher = createPasswordHasher({ ...slow, concurrency: 2, queue: 2 });
  const done: number[] = [];
  const calls = [0, 1, 2, 3].map((i) => hasher.hash('same').then(() => done.push(i)));
  await Promise.race(calls);
  t.ok(
    done.every((i) => i < 2),
    'the first ones come first',
  );
  await Promise.all(calls);
  t.strictSame([...done].sort(), [0, 1, 2, 3]);
  const oneByOne = createPasswordHasher({ ...cheap, memoryKib: 4096, concurrency: 1 });
  const order: number[] = [];
  await Promise.all([0, 1, 2, 3].map((i) => oneByOne.hash('same').then(() => order.push(i))));
  t.strictSame(order, [0, 1, 2, 3], 'and one by one where one is computed at a time');
});

t.test('without a queue there is room for as many as are computed', async (t) => {
  const hasher = createPasswordHasher({ ...slow, concurrency: 2, queue: 0 });
  const results = await Promise.allSettled([1, 2, 3].map(() => hasher.hash('same')));
  t.strictSame(codes(results), ['done', 'done', 'overloaded']);
});
