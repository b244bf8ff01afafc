/** Three nodes on one PostgreSQL, and a Redis that can be hurt: one server behind a link for each node, or under Sentinels. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startLink } from '../../support/link.js';
import { temporaryFolder } from '../../support/process.js';
import { type RedisServer, startRedisServer, startSentinels } from '../../support/redis-topologies.js';
import type { Scope } from '../../support/scope.js';
import type { Chance } from '../../support/seeded.js';
import { stopProcess } from '../../support/servers.js';
import { testEnvironment } from '../../support/service.js';
import type { Question } from './node.js';

const NODES = 3;
/** Longer than a paused node or server stays so. Milliseconds. */
const PATIENCE_MS = 20_000;
const NODE = fileURLToPath(new URL('./node.js', import.meta.url));

export interface Node {
  url: string;
  ask(question: Question): Promise<string>;
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

export type Topology = 'one server' | 'sentinels';

export interface World {
  /** Ends the nodes: a second world has the machine to itself. */
  stop(): Promise<void>;
  nodes: readonly Node[];
  /** Each hurts one thing for some time, and leaves it well. */
  troubles: Readonly<Record<string, () => Promise<void>>>;
}

async function startNode(t: Scope, env: Record<string, string>): Promise<Node> {
  const child = fork(NODE, [], {
    env: { PATH: process.env.PATH, ...env },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const stop = () => stopProcess(child, 'SIGKILL');
  t.teardown(stop);
  const waiting = new Map<number, (word: string) => void>();
  let asked = 0;
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`a node ended with ${code}`)));
    child.on('message', ({ address, id, word }: { address?: string; id: number; word: string }) => {
      if (address !== undefined) return resolve(address);
      waiting.get(id)?.(word);
      waiting.delete(id);
    });
  });
  return {
    url,
    ask: (question) =>
      new Promise((resolve, reject) => {
        const id = asked++;
        const timer = setTimeout(() => reject(new Error(`no answer to ${question.what}`)), PATIENCE_MS);
        waiting.set(id, (word) => {
          clearTimeout(timer);
          resolve(word);
        });
        child.send({ id, question });
      }),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop,
  };
}

export async function startWorld(t: Scope, database: string, topology: Topology, chance: Chance): Promise<World> {
  const env = {
    ...testEnvironment,
    ISSUER: 'http://127.0.0.1:3000',
    DATABASE_URL: database,
    KEYS_DIR: join(temporaryFolder(t), 'keys'),
    // A token that was used up a moment ago is one that is used again.
    REFRESH_REUSE_LEEWAY: '0s',
  };
  const startNodes = async (redisUrls: readonly string[]) => {
    const [first = '', ...others] = redisUrls;
    // The first one makes the keys.
    const node = await startNode(t, { ...env, REDIS_URL: first });
    return [node, ...(await Promise.all(others.map((url) => startNode(t, { ...env, REDIS_URL: url }))))];
  };
  const stopAll = async (nodes: readonly Node[]) => {
    await Promise.all(nodes.map(({ stop }) => stop()));
  };
  const between = (least: number, most: number) => sleep(chance.between(least, most));
  const shared = (nodes: readonly Node[], server: () => Promise<RedisServer>) => ({
    'Redis paused': async () => {
      const paused = await server();
      paused.pause();
      await between(200, 2_500);
      paused.resume();
    },
    'Redis flushed': async () => {
      await (await server()).command('FLUSHALL');
    },
    'a node stopped': async () => {
      const node = chance.pick(nodes);
      node.pause();
      await between(300, 3_000);
      node.resume();
    },
  });

  if (topology === 'one server') {
    const server = await startRedisServer(t);
    const links = await Promise.all(Array.from({ length: NODES }, () => startLink(t, server.port)));
    const nodes = await startNodes(links.map(({ port }) => `redis://127.0.0.1:${port}`));
    const without = (how: 'cut' | 'hold') => async () => {
      const link = chance.pick(links);
      link[how]();
      await between(300, 2_500);
      link.mend();
    };
    return {
      nodes,
      stop: () => stopAll(nodes),
      troubles: {
        ...shared(nodes, async () => server),
        'Redis restarted empty': async () => {
          await server.kill();
          await between(0, 500);
          await server.restart();
        },
        'a node cut off': without('cut'),
        'a node cut off in silence': without('hold'),
      },
    };
  }
  const sentinels = await startSentinels(t);
  const nodes = await startNodes(Array.from({ length: NODES }, () => sentinels.url));
  return {
    nodes,
    stop: () => stopAll(nodes),
    troubles: {
      ...shared(nodes, sentinels.master),
      'Redis handed over': () => sentinels.failOver('handed over'),
      'Redis failed over': () => sentinels.failOver('crashed'),
      // With it goes what was written last, and one node was not there to hear of it.
      'Redis failed over to a replica that was behind': async () => {
        const node = chance.pick(nodes);
        await sentinels.failOver('crashed and behind', async () => {
          node.pause();
          await between(1_200, 1_800);
        });
        node.resume();
      },
    },
  };
}
