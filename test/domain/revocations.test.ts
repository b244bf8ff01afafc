import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { createInProcessProjection } from '../../src/adapters/in-process/revocation-projection.js';
import { within } from '../../src/adapters/system/within.js';
import { type Revocation, RevocationSet } from '../../src/domain/revocation.js';
import { createRevocations } from '../../src/domain/revocations.js';
import { type Instant, instant, later } from '../../src/domain/types.js';
import { countNothing } from '../../src/ports/metrics.js';
import type { RevocationProjection } from '../../src/ports/revocation-projection.js';
import { fakeClock } from '../support/clock.js';
import { revocation, token } from '../support/revocations.js';

type Listener = Parameters<RevocationProjection['listen']>[0];

/** One store and one projection in memory, for any number of nodes, each with what can be broken about it. */
function world({ failOpen = false } = {}) {
  const clock = fakeClock();
  const rows: Revocation[] = [];
  const listeners: Listener[] = [];
  const leases = new Map<string, number>();
  const counts: Record<string, number> = {};
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  let rules = new RevocationSet();
  let head: number | null = 0;
  const state = { reachable: true, storeReachable: true, storeWaitsFor: Promise.resolve() };

  const store = {
    append: async () => null,
    async after(id: number, at: Instant, limit: number) {
      if (!state.storeReachable) throw new Error('no store');
      await state.storeWaitsFor;
      return rows.filter((row) => row.id > id && row.expiresAt > at).slice(0, limit);
    },
    last: async () => rows.at(-1)?.id ?? 0,
  };

  function node(name: string, { hears = true } = {}) {
    const reach = async () => {
      count('asked');
      if (!state.reachable) throw new Error('no Redis');
    };
    const own = { hears, renewalArrives: Promise.resolve() };
    const projection: RevocationProjection = {
      async renew(has) {
        await reach();
        await own.renewalArrives;
        if (head !== null && has >= head) leases.set(name, has);
        return head;
      },
      async publish(from, batch) {
        await reach();
        if (head === null || head < from) return head;
        for (const rule of batch) rules.add(rule);
        head = Math.max(head, batch.at(-1)?.id ?? from);
        if (batch.length > 0) for (const listener of listeners) listener(from, batch);
        return head;
      },
      async behind(by) {
        await reach();
        return [...leases].flatMap(([other, has]) => (other !== name && has < by ? [other] : []));
      },
      async drop(nodes, by) {
        count('dropped');
        for (const other of nodes) if ((leases.get(other) ?? by) < by) leases.delete(other);
      },
      async ask(asked) {
        await reach();
        return head === null ? null : rules.covers(asked);
      },
      async rebuild(last, load) {
        await reach();
        if (head !== null) return false;
        count('rebuilt');
        leases.clear();
        rules = new RevocationSet();
        let loaded = await last();
        for await (const batch of load()) {
          for (const rule of batch) rules.add(rule);
          loaded = Math.max(loaded, batch.at(-1)?.id ?? 0);
        }
        head = loaded;
        return true;
      },
      listen: (listener) => void listeners.push((from, batch) => own.hears && listener(from, batch)),
    };
    // Who waits lets the time pass.
    const waiting = {
      ...clock,
      async pause(ms: number) {
        await setImmediate();
        clock.advance(ms / 1000);
      },
    };
    const metrics = {
      ...countNothing,
      revocationUnknown: (outcome: string) => count(outcome),
      revocationPending: () => count('pending'),
      revocationEnforced: () => count('enforced'),
    };
    return { own, ...createRevocations({ store, projection, metrics, clock: waiting, failOpen, within }) };
  }

  return {
    clock,
    rows,
    counts,
    state,
    leases,
    node,
    /** As a statement does that ends a session. */
    commit(jti: string, more: Partial<Revocation> = {}) {
      const id = (rows.at(-1)?.id ?? 0) + 1;
      rows.push(revocation(id, 'jti', jti, { revokedAt: clock.now(), ...more }));
    },
    flush() {
      head = null;
      rules = new RevocationSet();
    },
    /** Somebody else's publication, of which nobody is told. */
    publishInSilence() {
      for (const row of rows) rules.add(row);
      head = rows.at(-1)?.id ?? 0;
    },
  };
}

const revoked = { name: 'Refusal', code: 'token_revoked' };
const unknown = { name: 'Refusal', code: 'revocation_unknown', retryAfter: 1 };
const pending = { name: 'Refusal', code: 'revocation_pending', retryAfter: 1 };
const gone = token({ jti: 'gone' });

t.test('a node that is current checks without asking, until its lease is over', async (t) => {
  const { node, clock, counts } = world();
  const one = node('one');
  await one.follow();
  counts.asked = 0;
  t.equal(await one.check(token(), {}), 'good');
  clock.advance(0.999);
  t.equal(one.isCurrent(), true);
  t.equal(await one.check(token(), {}), 'good');
  t.equal(counts.asked, 0);
  clock.advance(0.001);
  t.equal(one.isCurrent(), false);
  t.equal(await one.check(token(), {}), 'good');
  t.equal(counts.asked, 1);
});

t.test('a lease counts from before the question, however late the answer is', async (t) => {
  const { clock } = world();
  const projection = createInProcessProjection(clock);
  await projection.rebuild(
    async () => 0,
    async function* () {},
  );
  const slow: RevocationProjection = {
    ...projection,
    async renew(has) {
      const theirs = await projection.renew(has);
      clock.advance(0.7);
      return theirs;
    },
  };
  const store = { append: async () => null, after: async () => [], last: async () => 0 };
  const one = createRevocations({ store, projection: slow, metrics: countNothing, clock, failOpen: false, within });
  await one.follow();
  clock.advance(0.299);
  t.equal(one.isCurrent(), true);
  clock.advance(0.001);
  t.equal(one.isCurrent(), false);
});

t.test('what is enforced is refused by every node at once', async (t) => {
  const { node, commit, counts } = world();
  const [one, two] = [node('one'), node('two')];
  await Promise.all([one.follow(), two.follow()]);
  commit('gone');
  t.equal(await two.check(gone, {}), 'good', 'nobody was told anything yet');
  await one.enforce();
  await t.rejects(one.check(gone, {}), revoked);
  await t.rejects(two.check(gone, {}), revoked);
  t.equal(counts.dropped, undefined, 'nobody was waited for in vain');
  t.equal(counts.enforced, 1);
});

t.test('a node that does not hear is waited for until its lease is over, and asks then', async (t) => {
  const { node, commit, clock, counts, leases } = world();
  const [one, deaf] = [node('one'), node('deaf', { hears: false })];
  await Promise.all([one.follow(), deaf.follow()]);
  commit('gone');
  const begun = clock.monotonic();
  await one.enforce();
  t.ok(clock.monotonic() - begun >= 1000);
  t.equal(counts.dropped, 1);
  t.equal(leases.has('deaf'), false);
  t.equal(deaf.isCurrent(), false);
  await t.rejects(deaf.check(gone, {}), revoked);
  const again = clock.monotonic();
  await one.enforce();
  t.ok(clock.monotonic() - again < 1000, 'only once');
});

t.test('a node that comes along while it is waited for is not dropped', async (t) => {
  const { node, commit, counts } = world();
  const [one, late] = [node('one'), node('late', { hears: false })];
  await Promise.all([one.follow(), late.follow()]);
  commit('gone');
  await Promise.all([one.enforce(), setImmediate().then(late.follow)]);
  t.equal(counts.dropped, undefined);
  await t.rejects(late.check(gone, {}), revoked);
});

t.test('a node that missed a message finds out what it missed', async (t) => {
  const { node, commit } = world();
  const [one, two] = [node('one'), node('two')];
  await Promise.all([one.follow(), two.follow()]);
  two.own.hears = false;
  commit('missed');
  await one.enforce();
  two.own.hears = true;
  commit('gone');
  await one.enforce();
  await t.rejects(two.check(token({ jti: 'missed' }), {}), revoked);
  await t.rejects(two.check(gone, {}), revoked);
  t.equal(two.head(), 2);
});

t.test('a node is not current by what it heard while it asked: nobody would wait for it', async (t) => {
  const { node, commit, leases } = world();
  const [one, late] = [node('one'), node('late')];
  await one.follow();
  let arrive = () => {};
  late.own.renewalArrives = new Promise((resolve) => {
    arrive = resolve;
  });
  late.follow().catch(() => {});
  for (let i = 0; i < 5; i++) await setImmediate();
  commit('first');
  await one.enforce();
  t.equal(late.head(), 1, 'it has heard of that');
  // It is told that there is no more. From here on it hears nothing, and is heard no more.
  late.own.hears = false;
  late.own.renewalArrives = new Promise(() => {});
  arrive();
  for (let i = 0; i < 5; i++) await setImmediate();
  t.equal(leases.has('late'), false);
  commit('gone');
  await one.enforce();
  await t.rejects(late.check(gone, {}), revoked);
});

t.test('who publishes does not trust its own copy where others have published more', async (t) => {
  const { node, commit, publishInSilence, state } = world();
  const one = node('one');
  await one.follow();
  commit('gone');
  publishInSilence();
  let go = () => {};
  state.storeWaitsFor = new Promise((resolve) => {
    go = resolve;
  });
  // It knows by now that there is more, and has not read it yet.
  const following = one.follow();
  await setImmediate();
  state.storeWaitsFor = Promise.resolve();
  // The answer to its caller says that all is enforced: on this node too.
  await one.enforce();
  await t.rejects(one.check(gone, {}), revoked);
  go();
  await following;
  t.equal(one.isCurrent(), true);
});

t.test('who only publishes reads no more than that, and is no node that others wait for', async (t) => {
  const { node, commit, publishInSilence, leases, clock } = world();
  for (let i = 0; i < 20; i++) commit(`old-${i}`);
  publishInSilence();
  commit('gone');
  const command = node('command', { hears: false });
  await command.enforce();
  for (let i = 0; i < 20; i++) await setImmediate();
  t.same([...leases.keys()], []);
  t.equal(command.size(), 1);
  const one = node('one');
  await one.follow();
  await t.rejects(one.check(gone, {}), revoked);
  commit('another');
  const begun = clock.monotonic();
  await one.enforce();
  t.equal(clock.monotonic(), begun, 'nobody is waited for');
});

t.test('without Redis nothing is acknowledged; it is published by itself later', async (t) => {
  const { node, commit, state, counts, clock } = world();
  const one = node('one');
  await one.follow();
  commit('gone');
  state.reachable = false;
  await t.rejects(one.enforce(), pending);
  t.equal(counts.pending, 1);
  clock.advance(1);
  await t.rejects(one.check(gone, {}), unknown);
  state.reachable = true;
  await one.relay();
  await t.rejects(one.check(gone, {}), revoked);
});

t.test('an old copy that cannot be compared refuses what it knows, and nothing else is let through', async (t) => {
  const { node, commit, state, clock, counts } = world();
  const one = node('one');
  commit('gone');
  await one.follow();
  state.reachable = false;
  clock.advance(5);
  await t.rejects(one.check(gone, {}), revoked);
  await t.rejects(one.check(token(), {}), unknown);
  t.equal(counts.refused, 1);
  t.equal(await one.canTell().catch(() => false), false);
});

t.test('only who decided so lets tokens through that cannot be checked, and counts them', async (t) => {
  const { node, commit, state, clock, counts } = world({ failOpen: true });
  const one = node('one');
  commit('gone');
  await one.follow();
  state.reachable = false;
  clock.advance(5);
  t.equal(await one.check(token(), {}), 'unknown');
  await t.rejects(one.check(gone, {}), revoked);
  t.equal(counts.let_through, 1);
  t.equal(counts.refused, undefined);
});

t.test('a projection that lost everything is rebuilt by whoever sees it', async (t) => {
  const { node, commit, flush, counts, clock } = world();
  const [one, two] = [node('one'), node('two')];
  commit('old');
  await Promise.all([one.follow(), two.follow()]);
  flush();
  clock.advance(1);
  await t.rejects(two.check(token(), {}), unknown);
  t.equal(await two.canTell(), false);
  await two.follow();
  t.equal(counts.rebuilt, 1);
  t.equal(await two.check(token(), {}), 'good');
  flush();
  commit('gone');
  await one.enforce();
  t.equal(counts.rebuilt, 2);
  for (const each of [one, two])
    for (const jti of ['old', 'gone']) await t.rejects(each.check(token({ jti }), {}), revoked);
});

t.test('what was committed while others rebuilt is published, from where they began', async (t) => {
  const { node, commit, flush, rows } = world();
  const [one, two] = [node('one'), node('two')];
  for (const jti of ['a', 'b', 'c']) commit(jti);
  await one.follow();
  await one.enforce();
  flush();
  // It knows less than what `one` has published.
  const late = rows.splice(2);
  await two.follow();
  rows.push(...late);
  await one.enforce();
  const fresh = node('fresh');
  await t.rejects(fresh.check(token({ jti: 'c' }), {}), revoked);
});

t.test('without the store a node goes on with what it knows, and what was lost is not rebuilt', async (t) => {
  const { node, flush, state, clock } = world();
  const one = node('one');
  await one.follow();
  state.storeReachable = false;
  clock.advance(0.9);
  await one.follow();
  t.equal(one.isCurrent(), true);
  await t.rejects(one.enforce(), pending);
  flush();
  await t.rejects(one.follow(), /no store/);
  clock.advance(1);
  await t.rejects(one.check(token(), {}), unknown);
});

t.test('more rules than one page holds are all read and all published, and each is told of once', async (t) => {
  const { node, commit, counts } = world();
  const [one, two] = [node('one'), node('two')];
  await Promise.all([one.follow(), two.follow()]);
  const told: number[] = [];
  two.onGrown((batch) => told.push(...batch.map(({ id }) => id)));
  for (let i = 1; i <= 1_200; i++) commit(`t${i}`);
  await Promise.all([one.enforce(), one.enforce(), two.enforce(), two.follow()]);
  t.same(
    told,
    Array.from({ length: 1_200 }, (_, i) => i + 1),
  );
  t.equal(two.size(), 1_200);
  t.equal(counts.pending, undefined);
  const late = node('late');
  await late.follow();
  t.equal(late.size(), 1_200);
});

t.test('a projection that is ahead by what has expired keeps nobody from being current', async (t) => {
  const { node, commit, clock, publishInSilence, rows } = world();
  commit('brief', { expiresAt: later(clock.now(), 1) });
  publishInSilence();
  clock.advance(10);
  const one = node('one');
  await one.follow();
  t.equal(one.isCurrent(), true);
  t.equal(one.size(), 0);
  t.equal(one.head(), rows[0]?.id);
});

t.test('a clock that is set back, or was ahead for a while, costs no rule', async (t) => {
  const { node, commit, clock } = world();
  const one = node('one');
  commit('gone', { expiresAt: later(clock.now(), 600) });
  await one.follow();
  clock.advance(3600);
  await one.follow();
  t.equal(one.size(), 0, 'forgotten');
  clock.setBack(3600);
  t.equal(one.isCurrent(), false, 'not trusted before it was read again');
  await one.follow();
  t.equal(one.isCurrent(), true);
  await t.rejects(one.check(gone, {}), revoked);
});

t.test('a clock that is set back while a lease is asked for makes none', async (t) => {
  const { node, commit, publishInSilence, clock, state } = world();
  const one = node('one');
  commit('gone', { expiresAt: later(clock.now(), 600) });
  await one.follow();
  clock.advance(3600);
  commit('later');
  publishInSilence();
  let go = () => {};
  state.storeWaitsFor = new Promise((resolve) => {
    go = resolve;
  });
  const following = one.follow();
  await setImmediate();
  t.equal(one.size(), 0, 'forgotten');
  clock.setBack(3600);
  go();
  await following;
  t.equal(one.isCurrent(), false, 'not trusted before it was read again');
  await one.follow();
  t.equal(one.isCurrent(), true);
  await t.rejects(one.check(gone, {}), revoked);
});

t.test('a machine that slept does not trust what it knew before', async (t) => {
  const { clock, node } = world();
  const one = node('one');
  await one.follow();
  // The monotonic clock stood still.
  clock.setBack(-5);
  t.equal(one.isCurrent(), false);
});

t.test('a clock that is set back a little makes no lease longer', async (t) => {
  const { clock, node } = world();
  const one = node('one');
  await one.follow();
  clock.advance(1);
  clock.setBack(1);
  t.equal(one.isCurrent(), false);
});

t.test('whoever revokes up to an instant waits until it is over', async (t) => {
  const { node, clock } = world();
  const one = node('one');
  const end = instant((Math.floor(clock.now() / 1000) + 1) * 1000);
  await one.enforceUntil(end);
  t.ok(clock.now() >= end);
});
