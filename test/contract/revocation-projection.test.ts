import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { createInProcessProjection } from '../../src/adapters/in-process/revocation-projection.js';
import { connectRedis } from '../../src/adapters/redis/connection.js';
import { createRedisProjection } from '../../src/adapters/redis/revocation-projection.js';
import { keysOf } from '../../src/adapters/redis/revocation-scripts.js';
import { systemClock } from '../../src/adapters/system/clock.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import type { Revocation } from '../../src/domain/revocation.js';
import { instant, later } from '../../src/domain/types.js';
import { LEASE_MS, type RevocationProjection } from '../../src/ports/revocation-projection.js';
import { withoutRedis } from '../support/databases.js';
import { eventually } from '../support/process.js';
import { type RedisServer, startRedisCluster, startRedisServer, startSentinels } from '../support/redis-topologies.js';
import { revocation, token } from '../support/revocations.js';

// Most of the time they wait for leases to end.
t.jobs = 4;

/** A command on a connection that does not answer fails within this. Milliseconds; some for a busy machine. */
const SOON_MS = 2_500;

type Connect = (t: Test) => RevocationProjection;

const stored = (...rules: Revocation[]) => ({
  last: async () => rules.at(-1)?.id ?? 0,
  async *load() {
    for (const rule of rules) yield [rule];
  },
});

/** Rebuilds it, unless it is whole. */
async function makeWhole(projection: RevocationProjection, ...rules: Revocation[]): Promise<void> {
  const { last, load } = stored(...rules);
  // A server that was killed a moment ago, or a master that was, is not there yet.
  const isWhole = async () => (await projection.rebuild(last, load)) || (await projection.ask(token())) !== null;
  await eventually(isWhole, () => 'the projection could not be rebuilt');
}

/** For whatever holds the projection, which is not whole at first. */
async function projectionContract(t: Test, connect: Connect): Promise<void> {
  const projection = connect(t);

  await t.test('nothing is told from one that was never built', async (t) => {
    t.equal(await projection.renew(9), null);
    t.equal(await projection.ask(token()), null);
    t.equal(await projection.publish(0, [revocation(1, 'jti', 'x')]), null);
  });

  await t.test('a rebuilt one has what was loaded, and the head that the store had', async (t) => {
    const rules = [revocation(3, 'jti', 'loaded'), revocation(5, 'sub', 'loaded')];
    t.equal(await projection.rebuild(async () => 8, stored(...rules).load), true);
    t.equal(await projection.renew(8), 8);
    t.equal(await projection.ask(token({ jti: 'loaded' })), true);
    t.equal(await projection.ask(token({ sub: 'loaded' })), true);
    t.equal(await projection.ask(token()), false);
  });

  await t.test('each kind concerns its tokens and no others', async (t) => {
    const at = instant(Date.now());
    const second = Math.floor(at / 1000);
    const rules = (['jti', 'sid', 'sub', 'client'] as const).map((kind, i) => revocation(10 + i, kind, `that ${kind}`));
    t.equal(await projection.publish(8, rules), 13);
    for (const mine of [{ jti: 'that jti' }, { sid: 'that sid' }, { sub: 'that sub' }, { clientId: 'that client' }])
      t.equal(await projection.ask(token(mine)), true, JSON.stringify(mine));
    t.equal(await projection.ask(token({ jti: 'that sid', sub: 'that jti', sid: 'that sub' })), false);
    t.equal(await projection.ask(token({ sid: null, clientId: null })), false);
    t.equal(await projection.ask(token({ jti: 'that jti', iat: second + 1_000_000 })), true, 'whenever it was issued');
    t.equal(await projection.ask(token({ sub: 'that sub', iat: second + 2 })), false, 'issued afterwards');
  });

  await t.test('an instant never moves backwards', async (t) => {
    const late = revocation(20, 'sub', 'twice');
    const early = revocation(21, 'sub', 'twice', { notBefore: instant(late.revokedAt - 60_000) });
    await projection.publish(13, [late, early]);
    t.equal(await projection.ask(token({ sub: 'twice' })), true);
  });

  await t.test('a batch that begins after the head is not added, and one that was added is no harm', async (t) => {
    t.equal(await projection.publish(25, [revocation(26, 'jti', 'after a gap')]), 21);
    t.equal(await projection.ask(token({ jti: 'after a gap' })), false);
    t.equal(await projection.publish(20, [revocation(21, 'jti', 'once more')]), 21);
    t.equal(await projection.publish(21, []), 21, 'nor is nothing');
  });

  await t.test('a rule is gone when it ends', async (t) => {
    const revokedAt = instant(Date.now());
    const brief = revocation(30, 'jti', 'brief', { revokedAt, expiresAt: instant(revokedAt + 400) });
    await projection.publish(21, [brief, revocation(31, 'jti', 'lasting')]);
    t.equal(await projection.ask(token({ jti: 'lasting' })), true);
    const gone = async () => (await projection.ask(token({ jti: 'brief' }))) === false;
    // In a process a rule goes with others of its minute, long after its token has expired.
    if (!isAlone(projection)) await eventually(gone, () => 'it is still there');
  });

  await t.test('of everybody all that was issued before is revoked', async (t) => {
    await projection.publish(31, [revocation(40, 'all', '')]);
    t.equal(await projection.ask(token({ sid: null, clientId: null })), true);
    t.equal(await projection.ask(token({ iat: Math.floor(Date.now() / 1000) + 60 })), false);
  });
}

const inProcess = new WeakSet<RevocationProjection>();
const isAlone = (projection: RevocationProjection): boolean => inProcess.has(projection);

/** For one that is whole, and that several nodes share. `wipe` leaves it there and empty. */
async function sharedContract(t: Test, connect: Connect, wipe: () => Promise<unknown>): Promise<void> {
  const [one, two, three] = [connect(t), connect(t), connect(t)];
  await wipe();
  await makeWhole(one);
  const head = async () => (await one.publish(0, [])) ?? 0;
  let next = 1_000;
  const publish = async (by: RevocationProjection) => {
    const from = await head();
    next += 10;
    await by.publish(from, [revocation(next, 'jti', `${next}`)]);
    return next;
  };

  await t.test('who has everything gets a lease, and is behind when there is more', async (t) => {
    const had = await publish(one);
    t.equal(await two.renew(had), had);
    t.equal(await three.renew(had - 1), had, 'and no lease');
    t.same(await one.behind(had), []);
    const has = await publish(one);
    const [behind, ...others] = await one.behind(has);
    t.match(behind, /^[\w-]{12}$/);
    t.same(others, []);
    t.same(await two.behind(has), [], 'nobody waits for himself');
    t.equal(await two.renew(has), has);
    t.same(await one.behind(has), []);
  });

  await t.test('who stays behind is dropped, and who has come along is not', async (t) => {
    await two.renew(await publish(one));
    await three.renew(await head());
    const has = await publish(one);
    const behind = await one.behind(has);
    t.equal(behind.length, 2);
    await two.renew(has);
    await one.drop(behind, has);
    t.same(await one.behind(has), []);
    const [stayed, ...others] = await one.behind((await publish(one)) + 0);
    t.ok(stayed !== undefined && others.length === 0, 'two is still known');
    await one.drop([...behind, 'nobody'], next);
  });

  await t.test('every node hears of a rule', async (t) => {
    const heard = [one, two, three].map((node) => {
      const ids: number[] = [];
      node.listen((_from, batch) => ids.push(...batch.map(({ id }) => id)));
      return ids;
    });
    await eventually(
      async () => {
        const id = await publish(two);
        await sleep(50);
        return heard.every((ids) => ids.includes(id));
      },
      () => 'not everybody heard',
    );
    for (const ids of heard) t.same(ids, [...new Set(ids)].sort(), 'once, and in their order');
  });

  await t.test('when it was emptied nothing is told from it, until one of those who try has rebuilt it', async (t) => {
    const had = await publish(one);
    await wipe();
    await eventually(
      async () => (await one.renew(had)) === null,
      () => 'it was not noticed',
    );
    t.equal(await two.ask(token()), null);
    t.equal(await two.publish(had, [revocation(had + 1, 'jti', 'late')]), null);
    await t.rejects(one.behind(had));
    const begun = performance.now();
    const { last, load } = stored(revocation(had, 'jti', 'kept'));
    const results = await Promise.all([one, two, three].map((node) => node.rebuild(last, load)));
    t.equal(results.filter(Boolean).length, 1);
    t.equal(await three.rebuild(last, load), false, 'one that is whole is not rebuilt');
    t.ok(performance.now() - begun >= LEASE_MS, 'after the leases of before');
    t.equal(await one.ask(token({ jti: 'kept' })), true);
    t.equal(await one.ask(token()), false);
    t.equal(await two.publish(had, [revocation(had + 1, 'jti', 'late')]), had + 1);
    next = had + 1;
  });
}

t.test('in one process', async (t) => {
  await projectionContract(t, () => {
    const projection = createInProcessProjection(systemClock);
    inProcess.add(projection);
    return projection;
  });
});

const INSTALLATION = 'of this test';
const keys = keysOf(INSTALLATION);

const nodesOf =
  (url: string): Connect =>
  (t) => {
    const redis = connectRedis(url, () => {});
    t.teardown(() => redis.close());
    return createRedisProjection(redis, async () => INSTALLATION, systemClock, systemRandom);
  };

/** What no server may lead to: a token that is good because nobody could look. */
async function unreachableContract(t: Test, connect: Connect, server: () => Promise<RedisServer>): Promise<void> {
  await t.test('a server that is paused is given up soon, and used again when it goes on', async (t) => {
    const node = connect(t);
    await makeWhole(node, revocation(1, 'jti', 'x'));
    t.equal(await node.ask(token({ iat: Math.floor(Date.now() / 1000) + 60 })), false);
    const hurt = await server();
    hurt.pause();
    const begun = performance.now();
    await t.rejects(Promise.all([node.ask(token())]));
    await t.rejects(node.renew(1));
    t.ok(performance.now() - begun < 2 * SOON_MS, `${Math.round(performance.now() - begun)} ms for two`);
    hurt.resume();
    await eventually(
      async () => (await node.ask(token())) !== null,
      () => 'it does not recover',
    );
  });
}

t.test('on one Redis', { skip: withoutRedis }, async (t) => {
  const server = await startRedisServer(t);
  const connect = nodesOf(server.url);
  await projectionContract(t, connect);
  await sharedContract(t, connect, () => server.command('FLUSHALL'));
  await unreachableContract(t, connect, async () => server);

  await t.test('a server that comes back with nothing has to be filled again', async (t) => {
    const node = connect(t);
    await node.renew(0);
    await server.kill();
    await t.rejects(node.ask(token()));
    await server.restart();
    await eventually(
      async () => (await node.ask(token())) === null,
      () => 'it is taken for whole',
    );
    await makeWhole(node, revocation(1, 'jti', 'x'));
    t.equal(await node.ask(token({ jti: 'x' })), true);
  });

  await t.test('one who dies while he rebuilds keeps the others waiting, and not for ever', async (t) => {
    const [one, two] = [connect(t), connect(t)];
    await server.command('FLUSHALL');
    const hangs = one.rebuild(
      async () => 0,
      async function* () {
        yield [revocation(1, 'jti', 'half')];
        await new Promise(() => {});
      },
    );
    hangs.catch(() => {});
    await eventually(
      async () => (await server.command('EXISTS', keys.rule('jti:half'))) === 1,
      () => 'it does not begin',
    );
    const { last, load } = stored(revocation(2, 'jti', 'whole'));
    t.equal(await two.rebuild(last, load), false);
    t.equal(await two.ask(token({ jti: 'whole' })), null, 'half is not whole');
    const left = Number(await server.command('PTTL', keys.lock));
    t.ok(left > 0 && left <= 10_000, `${left} ms`);
    // What that time would do.
    await server.command('DEL', keys.lock);
    t.equal(await two.rebuild(last, load), true);
  });

  await t.test('one whose lock was taken over while he rebuilds does not say that it is whole', async (t) => {
    const [one, two] = [connect(t), connect(t)];
    await server.command('FLUSHALL');
    let isSlow: () => void = () => {};
    const slow = new Promise<void>((resolve) => {
      isSlow = resolve;
    });
    const loses = one.rebuild(
      async () => 1,
      async function* () {
        await slow;
        yield [revocation(1, 'jti', 'old')];
      },
    );
    await eventually(
      async () => (await server.command('DEL', keys.lock)) === 1,
      () => 'it does not begin',
    );
    const { last, load } = stored(revocation(2, 'jti', 'new'));
    const wins = two.rebuild(last, load);
    isSlow();
    t.same(await Promise.all([loses, wins]), [false, true]);
    t.equal(await one.renew(0), 2);
  });

  await t.test('one that cannot load what there is lets the next one try at once', async (t) => {
    const node = connect(t);
    await server.command('FLUSHALL');
    const fails = async function* (): AsyncGenerator<Revocation[]> {
      yield [];
      throw new Error('no database');
    };
    await t.rejects(
      node.rebuild(async () => 0, fails),
      /no database/,
    );
    const { last, load } = stored();
    t.equal(await node.rebuild(last, load), true);
  });

  await t.test('a server that evicts keys is not whole: rules may be among them', async (t) => {
    const node = connect(t);
    await makeWhole(node, revocation(1, 'jti', 'x'));
    t.not(await node.ask(token()), null);
    await server.command('CONFIG', 'SET', 'maxmemory-policy', 'volatile-ttl');
    const used = Number(/used_memory:(\d+)/.exec(String(await server.command('INFO', 'memory')))?.[1]);
    await server.command('CONFIG', 'SET', 'maxmemory', String(used + 100_000));
    for (let i = 0; i < 8; i++) await server.command('SET', `filler:${i}`, 'x'.repeat(40_000), 'EX', '1000');
    await server.command('CONFIG', 'SET', 'maxmemory', '0');
    t.equal(await node.ask(token()), null);
  });

  await t.test('a master that lost its replicas takes no writes, and answers no question either', async (t) => {
    const node = connect(t);
    await makeWhole(node, revocation(1, 'jti', 'x'));
    await server.command('CONFIG', 'SET', 'min-replicas-to-write', '1');
    await t.rejects(node.ask(token()), /NOREPLICAS/);
    await t.rejects(node.renew(1), /NOREPLICAS/);
    await server.command('CONFIG', 'SET', 'min-replicas-to-write', '0');
    t.equal(await node.ask(token()), false);
  });

  await t.test('a message that is none, or is forged without sense, is not heard and ends nothing', async (t) => {
    const node = connect(t);
    const heard: number[] = [];
    node.listen((from) => heard.push(from));
    const speaker = new Redis(server.url);
    t.teardown(() => speaker.disconnect());
    const good = { from: 7, batch: [revocation(8, 'jti', 'x')] };
    const say = (message: unknown) =>
      speaker.publish(keys.channel, typeof message === 'string' ? message : JSON.stringify(message));
    await eventually(
      async () => (await say(good)) > 0 && heard.length > 0,
      () => 'a good one is not heard',
    );
    for (const bad of [
      '',
      'null',
      '{',
      '[]',
      {},
      { from: 0 },
      { from: 0, batch: [null] },
      { from: 0, batch: [{}] },
      { from: -1, batch: [] },
      { from: 1e300, batch: [] },
      { from: 9, batch: [revocation(9, 'jti', 'not after from')] },
      { from: 0, batch: [revocation(2, 'jti', 'b'), revocation(1, 'jti', 'not ascending')] },
      { from: 0, batch: [{ ...revocation(1, 'jti', 'x'), kind: 'everything' }] },
      { from: 0, batch: [{ ...revocation(1, 'jti', 'x'), value: 1 }] },
      { from: 0, batch: [{ ...revocation(1, 'jti', 'x'), expiresAt: 'never' }] },
      { from: 0, batch: [revocation(1, 'jti', 'x'.repeat(1_100_000))] },
    ])
      await say(bad);
    await say({ ...good, from: 6 });
    await eventually(
      () => heard.includes(6),
      () => 'it does not listen any more',
    );
    t.same([...new Set(heard)], [7, 6]);
  });
});

t.test('under Sentinels', { skip: withoutRedis }, async (t) => {
  const sentinels = await startSentinels(t);
  const connect = nodesOf(sentinels.url);
  await projectionContract(t, connect);
  await sharedContract(t, connect, async () => (await sentinels.master()).command('FLUSHALL'));

  for (const how of ['handed over', 'crashed and behind'] as const) {
    await t.test(`a replica that takes over (${how}) is not whole, though its marker is there`, async (t) => {
      const [one, two] = [connect(t), connect(t)];
      await makeWhole(one, revocation(1, 'jti', 'x'));
      const head = (await one.renew(0)) ?? 0;
      const later = revocation(head + 1, 'jti', 'the last write');
      await sentinels.failOver(how, () => one.publish(head, [later]));
      const master = await sentinels.master();
      t.equal(await master.command('EXISTS', keys.marker), 1);
      const hasLast = await master.command('EXISTS', keys.rule('jti:the last write'));
      t.equal(hasLast, how === 'handed over' ? 1 : 0);
      for (const node of [one, two]) {
        // The old master says that all is well until the node has left it.
        await eventually(
          async () => (await node.ask(token())) === null,
          () => 'the new master is not found, or is taken for whole',
        );
      }
      await makeWhole(two, later);
      t.equal(await one.ask(token({ jti: 'the last write' })), true);
      await master.command('DEL', keys.rule('jti:the last write'));
    });
  }
});

t.test('on a cluster', { skip: withoutRedis }, async (t) => {
  const cluster = await startRedisCluster(t);
  const connect = nodesOf(cluster.url);
  const owner = await cluster.ownerOf(keys.marker);
  await projectionContract(t, connect);
  await sharedContract(t, connect, () => owner.command('FLUSHALL'));
  await unreachableContract(t, connect, async () => owner);

  await t.test('a server that comes back with nothing has to be filled again', async (t) => {
    const node = connect(t);
    await makeWhole(node, revocation(1, 'jti', 'x'));
    await owner.kill();
    await t.rejects(node.ask(token()));
    await owner.restart();
    await eventually(
      async () => (await node.ask(token())) === null,
      () => 'it is taken for whole',
    );
    await makeWhole(node, { ...revocation(1, 'jti', 'x'), expiresAt: later(instant(Date.now()), 60) });
    t.equal(await node.ask(token({ jti: 'x' })), true);
  });
});
