import t from 'tap';
import type { Refusal } from '../../src/domain/errors.js';
import { createShedding, type Importance, type Level } from '../../src/domain/shedding.js';

/** A service whose event loop, database and hashes are as busy as the test says. */
function busy({ eventLoopDelay = 100 } = {}) {
  const now = { delay: 0, waiting: 0, wait: 0 };
  const counted: string[] = [];
  const levels: Level[] = [];
  let drawn = 0;
  const shedding = createShedding({
    eventLoop: { delay: () => now.delay },
    database: () => ({ waiting: now.waiting }),
    connections: 10,
    hasher: { expectedWait: () => now.wait, longestWait: 5_000 },
    eventLoopDelay,
    metrics: { shed: (reason) => counted.push(reason), shedding: (level) => levels.push(level) },
    random: { bytes: () => new Uint8Array([drawn++]) },
  });
  const refusal = (work: () => void): Refusal | null => {
    try {
      work();
      return null;
    } catch (error) {
      return error as Refusal;
    }
  };
  /** What is served. */
  const served = () =>
    (['first', 'second', 'never'] as Importance[]).filter(
      (importance) => refusal(() => shedding.admit(importance, false)) === null,
    );
  const look = (times = 1) => {
    let { level } = shedding.look();
    for (let i = 1; i < times; i++) ({ level } = shedding.look());
    return level;
  };
  return { now, counted, levels, shedding, refusal, served, look };
}

t.test('the later the process is with its work, the less is served, and something always is', async (t) => {
  const { now, served, look, counted } = busy();
  for (const [delay, level, expected] of [
    [0, 0, ['first', 'second', 'never']],
    [99, 0, ['first', 'second', 'never']],
    [100, 1, ['second', 'never']],
    [399, 1, ['second', 'never']],
    [400, 2, ['never']],
    [60_000, 2, ['never']],
  ] as const) {
    now.delay = delay;
    t.equal(look(), level, `${delay} ms`);
    t.strictSame(served(), expected);
  }
  t.strictSame(new Set(counted), new Set(['event_loop']));
});

t.test('so it is with callers that wait for the database', async (t) => {
  const { now, look, counted, served } = busy();
  for (const [waiting, level] of [
    [99, 0],
    [100, 1],
    [399, 1],
    [400, 2],
  ] as const) {
    now.waiting = waiting;
    t.equal(look(2), level, `${waiting} for 10 connections`);
  }
  served();
  t.strictSame(counted, ['database', 'database']);
});

t.test('a burst that is over at the next look sheds nothing', async (t) => {
  const { now, look } = busy();
  for (let i = 0; i < 3; i++) {
    now.waiting = 500;
    t.equal(look(), 0);
    now.waiting = 0;
    t.equal(look(), 0);
  }
  now.waiting = 500;
  look();
  now.waiting = 120;
  t.equal(look(), 1, 'some of them wait still');
});

t.test('it begins at once and ends when it has been calm for a while', async (t) => {
  const { now, look, levels, shedding } = busy();
  now.delay = 500;
  t.equal(look(), 2);
  now.delay = 0;
  t.equal(look(3), 2, 'a moment is not calm');
  now.delay = 450;
  look();
  now.delay = 150;
  t.equal(look(3), 2);
  t.equal(look(), 1, 'one level after the other');
  now.delay = 0;
  t.equal(look(3), 1);
  t.match(shedding.look(), { level: 0, strain: null });
  t.equal(levels.at(-1), 0);
});

t.test('a password is not taken where it would wait longer than its client, however idle all else is', async (t) => {
  const { now, shedding, refusal, counted } = busy();
  now.wait = 5_000;
  t.equal(
    refusal(() => shedding.admit('first', true)),
    null,
  );
  now.wait = 9_000;
  t.match(
    refusal(() => shedding.admit('first', true)),
    { code: 'overloaded' },
  );
  t.ok(Number(refusal(() => shedding.admit('first', true))?.retryAfter) >= 6, 'it comes again when its turn can be');
  t.equal(
    refusal(() => shedding.admit('first', false)),
    null,
    'what needs no hash is served',
  );
  t.strictSame(counted, ['hashes', 'hashes']);
});

t.test('what has waited longer than its client is not begun', async (t) => {
  const { shedding, refusal, counted } = busy();
  t.equal(
    refusal(() => shedding.begin(12_000)),
    null,
  );
  t.match(
    refusal(() => shedding.begin(12_001)),
    { code: 'overloaded' },
  );
  t.strictSame(counted, ['late']);
});

t.test('not all are told to come again at one time', async (t) => {
  const { now, shedding, refusal, look } = busy();
  now.delay = 500;
  look();
  const waits = Array.from({ length: 40 }, () => refusal(() => shedding.admit('first', false))?.retryAfter);
  t.strictSame([...new Set(waits)].sort(), [2, 3, 4, 5]);
  t.equal(shedding.look().shed, 40);
});

t.test('the event loop is not looked at where that is turned off', async (t) => {
  const { now, look } = busy({ eventLoopDelay: 0 });
  now.delay = 60_000;
  t.equal(look(), 0);
  now.waiting = 100;
  t.equal(look(2), 1);
});
