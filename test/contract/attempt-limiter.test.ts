import { mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { createInProcessLimiter, type LimitSettings } from '../../src/adapters/in-process/attempt-limiter.js';
import type { AttemptLimiter } from '../../src/ports/attempt-limiter.js';

const settings: LimitSettings = { failures: 3, window: 60, block: 300 };

interface Time {
  advance(seconds: number): void;
}

/** What any attempt limiter has to do; `make` gives one that has counted nothing yet. */
function attemptLimiterContract(make: (settings: LimitSettings) => AttemptLimiter, time: Time): void {
  const failTimes = async (limiter: AttemptLimiter, times: number, subject = 'a') => {
    let last = 0;
    for (let i = 0; i < times; i++) last = await limiter.fail(subject);
    return last;
  };

  t.test('whoever has not failed is not blocked', async (t) => {
    t.equal(await make(settings).blockedFor('a'), 0);
  });

  t.test('the failure that reaches the limit blocks', async (t) => {
    const limiter = make(settings);
    t.equal(await failTimes(limiter, 2), 0);
    t.equal(await limiter.blockedFor('a'), 0);
    t.equal(await limiter.fail('a'), 300);
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
    time.advance(299.5);
    t.equal(await limiter.blockedFor('a'), 1, 'part of a second is a second');
    time.advance(0.5);
    t.equal(await limiter.blockedFor('a'), 0);
    t.equal(await failTimes(limiter, 2), 0, 'counted anew');
    t.equal(await limiter.fail('a'), 300);
  });

  t.test('failures in a block do not make it longer', async (t) => {
    const limiter = make(settings);
    await failTimes(limiter, 3);
    time.advance(100);
    t.equal(await failTimes(limiter, 5), 200);
    t.equal(await limiter.blockedFor('a'), 200);
  });

  t.test('failures are forgotten with their window', async (t) => {
    const limiter = make(settings);
    await failTimes(limiter, 2);
    time.advance(60);
    t.equal(await failTimes(limiter, 2), 0);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('with a limit of one the first failure blocks', async (t) => {
    const limiter = make({ ...settings, failures: 1 });
    t.equal(await limiter.blockedFor('a'), 0);
    t.equal(await limiter.fail('a'), 300);
    t.equal(await limiter.blockedFor('a'), 300);
    time.advance(300);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('a limit of none turns it off', async (t) => {
    const limiter = make({ ...settings, failures: 0 });
    t.equal(await failTimes(limiter, 100), 0);
    t.equal(await limiter.blockedFor('a'), 0);
  });

  t.test('parallel failures are all counted', async (t) => {
    const limiter = make({ ...settings, failures: 10 });
    const blocks = await Promise.all(Array.from({ length: 20 }, () => limiter.fail('a')));
    t.equal(blocks.filter((seconds) => seconds === 0).length, 9);
    t.equal(await limiter.blockedFor('a'), 300);
  });
}

mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.UTC(2026, 2, 1) });
attemptLimiterContract(createInProcessLimiter, { advance: (seconds) => mock.timers.tick(seconds * 1000) });

t.test('a block that is longer than timers can wait does not end at once', async (t) => {
  // Fake timers can wait for any time, so this one has to be real.
  mock.timers.reset();
  const limiter = createInProcessLimiter({ ...settings, failures: 1, block: 90 * 86_400 });
  await limiter.fail('a');
  await sleep(20);
  t.ok((await limiter.blockedFor('a')) > 21 * 86_400);
});
