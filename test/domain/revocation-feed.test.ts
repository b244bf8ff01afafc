/** The feed without a network: what is kept for followers that are slow, and what they hear when they are not. */
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { Revocation } from '../../src/domain/revocation.js';
import { createRevocationFeed, type Follower } from '../../src/domain/revocation-feed.js';
import { instant } from '../../src/domain/types.js';
import { countNothing } from '../../src/ports/metrics.js';
import { fakeClock } from '../support/clock.js';

const token = {
  sub: 's',
  aud: ['x'],
  iat: 0,
  exp: 9e9,
  jti: 'j',
  sid: null,
  clientId: 's',
  scope: '',
  nbf: null,
  roles: null,
};
const ruleOf = (id: number): Revocation => ({
  id,
  kind: 'jti',
  value: String(id),
  notBefore: null,
  revokedAt: instant(0),
  expiresAt: instant(9e15),
});

/** A node that holds `rules`, and a feed of it. */
function node() {
  const clock = fakeClock();
  const rules: Revocation[] = [];
  let grown: (batch: readonly Revocation[]) => void = () => {};
  /** What the store does before it answers. */
  const state = { isCurrent: true, meanwhile: () => {}, reads: 0, reading: 0, mostReading: 0 };
  const feed = createRevocationFeed({
    clock,
    metrics: countNothing,
    limit: 40,
    store: {
      append: async () => null,
      last: async () => rules.at(-1)?.id ?? 0,
      async after(id, _at, limit) {
        state.reads++;
        state.mostReading = Math.max(state.mostReading, ++state.reading);
        const page = rules.filter((rule) => rule.id > id).slice(0, limit);
        await setImmediate();
        state.reading--;
        state.meanwhile();
        return page;
      },
    },
    revocations: {
      isCurrent: () => state.isCurrent,
      head: () => rules.at(-1)?.id ?? 0,
      onGrown: (listener) => {
        grown = listener;
      },
      covers: () => false,
    },
  });
  const grow = (count = 1) => {
    const from = (rules.at(-1)?.id ?? 0) + 1;
    const batch = Array.from({ length: count }, (_, i) => ruleOf(from + i));
    rules.push(...batch);
    grown(batch);
  };
  return { feed, clock, grow, state };
}

function follower() {
  const heard: number[] = [];
  let drain = () => {};
  const one = { heard, batches: 0, current: [] as number[], ended: null as boolean | null, isFull: false };
  const methods: Follower = {
    revoked(batch) {
      heard.push(...batch.map(({ id }) => id));
      one.batches++;
      return !one.isFull;
    },
    current: (cursor) => void one.current.push(cursor),
    drained: () =>
      new Promise((resolve) => {
        drain = resolve;
      }),
    end(stalled) {
      one.ended = stalled;
      drain();
    },
  };
  const read = () => {
    one.isFull = false;
    drain();
  };
  return { one, methods, read };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const settled = async () => {
  for (let i = 0; i < 20; i++) await setImmediate();
};

t.test('what is revoked while the store is read is told once', async (t) => {
  const { feed, grow, state } = node();
  grow(3);
  let left = 3;
  state.meanwhile = () => {
    if (left-- > 0) grow(2);
  };
  const { one, methods } = follower();
  feed.follow(0, token, methods);
  await settled();
  grow(2);
  t.same(one.heard, upTo(11));
  t.same(one.current, [9], 'and only then is nothing missing');
});

t.test('for a follower that does not read no more is kept than it has', async (t) => {
  const { feed, grow, clock } = node();
  const { one, methods } = follower();
  feed.follow(0, token, methods);
  await settled();
  one.isFull = true;
  for (let i = 0; i < 100; i++) grow(10);
  await settled();
  t.equal(one.batches, 1);
  clock.advance(10);
  feed.beat();
  t.same([one.ended, one.current.length], [null, 1], 'it has a little time, and no heartbeat');
  clock.advance(0.1);
  feed.beat();
  t.equal(one.ended, true);
  t.equal(feed.size(), 0);
});

t.test('a follower that reads late gets the rest, and then what is new at once', async (t) => {
  const { feed, grow } = node();
  const { one, methods, read } = follower();
  feed.follow(0, token, methods);
  await settled();
  one.isFull = true;
  for (let i = 0; i < 300; i++) grow(10);
  read();
  await settled();
  t.same(one.heard, upTo(3000));
  t.equal(one.current.at(-1), 3000);
  grow();
  t.equal(one.heard.at(-1), 3001);
});

t.test('a node that may lack something says nothing, and after five seconds lets its followers go', async (t) => {
  const { feed, grow, clock, state } = node();
  const { one, methods } = follower();
  feed.follow(0, token, methods);
  await settled();
  feed.beat();
  state.isCurrent = false;
  grow();
  clock.advance(5);
  feed.beat();
  t.same(one.heard, [1], 'what it does know it tells');
  t.same([one.current.length, one.ended], [2, null]);
  clock.advance(0.001);
  feed.beat();
  t.equal(one.ended, false);
});

t.test('however many are behind, few pages are read at one time, and those at the same place share them', async (t) => {
  const { feed, grow, state } = node();
  grow(2_500);
  const [places, each] = [8, 5];
  const all = Array.from({ length: places * each }, (_, i) => ({ from: i % places, ...follower() }));
  for (const { from, methods } of all) feed.follow(from, token, methods);
  for (let i = 0; i < 20; i++) await settled();
  t.equal(state.mostReading, 2);
  t.equal(state.reads, places * 3);
  for (const { from, one } of all)
    t.same([one.heard.length, one.heard[0], one.current], [2_500 - from, from + 1, [2500]]);
});

t.test('who joins a read that is under way misses nothing that has come since it began', async (t) => {
  const { feed, grow, state } = node();
  grow(3);
  const [first, late] = [follower(), follower()];
  let left = 1;
  state.meanwhile = () => {
    if (left-- <= 0) return;
    grow(2);
    feed.follow(0, token, late.methods);
  };
  feed.follow(0, token, first.methods);
  await settled();
  t.same(first.one.heard, upTo(5));
  t.same(late.one.heard, upTo(5));
  t.same([first.one.current, late.one.current], [[5], [5]]);
});
