import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { createInProcessAnnouncements } from '../../src/adapters/in-process/announcements.js';
import { createRedisAnnouncements } from '../../src/adapters/redis/announcements.js';
import { connectRedis } from '../../src/adapters/redis/connection.js';
import type { Announcements } from '../../src/ports/announcements.js';
import { withoutRedis } from '../support/databases.js';
import { freePort } from '../support/servers.js';

const TOPIC = 'signing-keys';
/** Milliseconds; a subscription takes a trip to the server, of which the port says nothing. */
const STEP_MS = 20;
const PATIENCE_MS = 10_000;

async function heard(by: () => number, announce: () => Promise<void>): Promise<boolean> {
  for (let waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
    await announce().catch(() => {});
    await sleep(STEP_MS);
    if (by() > 0) return true;
  }
  return false;
}

/** `nodes` are two that reach each other, or one twice where there is only one. */
function announcementsContract(t: Test, connect: (t: Test) => [Announcements, Announcements]): void {
  t.test('an announcement is heard by all nodes, the one that made it included', async (t) => {
    const [one, two] = connect(t);
    const counts = [0, 0, 0];
    const count = (i: number) => () => {
      counts[i] = (counts[i] ?? 0) + 1;
    };
    one.listen(TOPIC, count(0));
    one.listen(TOPIC, count(1));
    two.listen(TOPIC, count(2));
    t.ok(
      await heard(
        () => Math.min(...counts),
        () => one.announce(TOPIC),
      ),
    );
    const before = [...counts];
    t.ok(
      await heard(
        () => Math.min(...counts.map((n, i) => n - (before[i] ?? 0))),
        () => two.announce(TOPIC),
      ),
    );
  });

  t.test('without listeners an announcement is lost, and no error', async (t) => {
    const [one] = connect(t);
    await one.announce(TOPIC);
    let late = 0;
    one.listen(TOPIC, () => late++);
    await one.ping();
    t.equal(late, 0);
  });

  t.test('nodes that can be reached answer a ping', async (t) => {
    const [one, two] = connect(t);
    await t.resolves(one.ping());
    await t.resolves(two.ping());
  });
}

t.test('in one process', async (t) => {
  announcementsContract(t, () => {
    const announcements = createInProcessAnnouncements();
    return [announcements, announcements];
  });
});

t.test('over Redis', { skip: withoutRedis }, async (t) => {
  const url = process.env.TEST_REDIS_URL ?? '';
  const problems: string[] = [];
  const connect = (t: Test): Announcements => {
    const redis = connectRedis(url, (problem) => problems.push(problem));
    t.teardown(() => redis.close());
    return createRedisAnnouncements(redis);
  };
  announcementsContract(t, (t) => [connect(t), connect(t)]);

  t.test('a node whose connections were cut hears again', async (t) => {
    const node = connect(t);
    let count = 0;
    node.listen(TOPIC, () => count++);
    t.ok(
      await heard(
        () => count,
        () => node.announce(TOPIC),
      ),
    );
    const admin = new Redis(url);
    t.teardown(() => admin.disconnect());
    const connections = String(await admin.client('LIST'))
      .split('\n')
      .filter((line) => line.includes(' name=keyturn '))
      .map((line) => /^id=(\d+)/.exec(line)?.[1] ?? '');
    t.ok(connections.length >= 2);
    for (const id of connections) await admin.client('KILL', 'ID', id);
    count = 0;
    t.ok(
      await heard(
        () => count,
        () => node.announce(TOPIC),
      ),
    );
    await t.resolves(node.ping());
  });
});

t.test('where there is no Redis a node says so soon, again and again', async (t) => {
  const problems: string[] = [];
  const redis = connectRedis(`redis://:secret@127.0.0.1:${await freePort()}`, (problem) => problems.push(problem));
  const announcements = createRedisAnnouncements(redis);
  t.teardown(() => redis.close());
  announcements.listen(TOPIC, () => {});
  await t.rejects(announcements.ping());
  await t.rejects(announcements.announce(TOPIC));
  t.ok(problems.length > 0);
  t.notMatch(problems.join(), 'secret');
});
