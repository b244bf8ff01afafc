/** Redis as it is run in earnest: a master and its replica under Sentinels, and a cluster. Real processes on loopback. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { eventually, stopByPid } from './process.js';
import type { Scope } from './scope.js';
import { freePort, type RedisOptions, type Server, startRedis } from './servers.js';

/** One server that can be hurt. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  command(...words: (string | number)[]): Promise<unknown>;
  /** It takes no commands and no connections until `resume`; what was sent waits for it. */
  pause(): void;
  resume(): void;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** Starts it again on the same port, with nothing in it. */
  restart(...args: string[]): Promise<void>;
}

export async function startRedisServer(t: Scope, options: RedisOptions = {}): Promise<RedisServer> {
  const start = async (more: RedisOptions) => {
    const started = await startRedis({ ...options, ...more });
    if (started === null) throw new Error('the binary of Redis is needed');
    return started;
  };
  let running: (Server & { folder: string }) | null = await start({});
  const { port, url, folder } = running;
  const signal = (name: NodeJS.Signals) => {
    if (running !== null) process.kill(running.pid, name);
  };
  t.teardown(async () => {
    signal('SIGCONT');
    await running?.stop();
  });
  return {
    port,
    url,
    command: (...words) => tellRedis(port, words),
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    async kill() {
      if (running !== null) await stopByPid(running.pid, 'SIGKILL');
      running = null;
    },
    async restart(...args) {
      running ??= await start({ port, folder, args: [...(options.args ?? []), ...args] });
    },
  };
}

/** One command on a connection of its own. */
async function tellRedis(port: number, [command = '', ...words]: readonly (string | number)[]): Promise<unknown> {
  const redis = new Redis(port, '127.0.0.1', { lazyConnect: true, maxRetriesPerRequest: 0, commandTimeout: 5_000 });
  redis.on('error', () => {});
  try {
    await redis.connect();
    return await redis.call(String(command), ...words);
  } finally {
    redis.disconnect();
  }
}

export interface Sentinels {
  url: string;
  servers: readonly RedisServer[];
  /** The server that the Sentinels take for the master. */
  master(): Promise<RedisServer>;
  replica(): Promise<RedisServer>;
  /** Makes the replica the master, in good order or after a crash, and resolves when the Sentinels tell of it. */
  failOver(how: 'handed over' | 'crashed' | 'crashed and behind', work?: () => Promise<unknown>): Promise<void>;
}

const MASTER = 'keyturn';
const SENTINELS = 3;
/** A master that does not answer for so long is deposed. Milliseconds. */
const DOWN_AFTER_MS = 1_000;

export async function startSentinels(t: Scope): Promise<Sentinels> {
  const quick = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
  const first = await startRedisServer(t, { args: quick });
  const replicaOf = (port: number) => ['--replicaof', '127.0.0.1', String(port)];
  const second = await startRedisServer(t, { args: quick });
  await second.command('REPLICAOF', '127.0.0.1', first.port);
  const servers = [first, second];
  const watchers: RedisServer[] = [];
  for (let i = 0; i < SENTINELS; i++) {
    const folder = mkdtempSync(join(tmpdir(), 'keyturn-sentinel-'));
    const file = join(folder, 'sentinel.conf');
    const settings = [
      `dir ${folder}`,
      `sentinel monitor ${MASTER} 127.0.0.1 ${first.port} 2`,
      `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${MASTER} 4000`,
    ];
    writeFileSync(file, `${settings.join('\n')}\n`);
    watchers.push(await startRedisServer(t, { folder, args: [file, '--sentinel'] }));
  }
  const ask = async (...words: string[]) => {
    const answers = await Promise.all(watchers.map(({ command }) => command('SENTINEL', ...words)));
    return answers as unknown[][];
  };
  const masterPorts = async () => (await ask('GET-MASTER-ADDR-BY-NAME', MASTER)).map(([, port]) => Number(port));
  const serverAt = (port: number | undefined) => {
    const server = servers.find((one) => one.port === port);
    if (server === undefined) throw new Error('no such server');
    return server;
  };
  const master = async () => serverAt((await masterPorts())[0]);
  const replica = async () => {
    const { port } = await master();
    return serverAt(servers.find((one) => one.port !== port)?.port);
  };
  const inSync = async () => {
    const ports = await masterPorts();
    const info = String(await serverAt(ports[0]).command('INFO', 'replication'));
    const seen = await Promise.all([ask('REPLICAS', MASTER), ask('SENTINELS', MASTER)]);
    return (
      ports.every((port) => port === ports[0]) &&
      /role:master/.test(info) &&
      /slave0:.*state=online/.test(info) &&
      seen[0].every((list) => list.length === 1 && !/down|disconnected/.test(flagsOf(list[0]))) &&
      seen[1].every((list) => list.length === SENTINELS - 1 && list.every((one) => !/down/.test(flagsOf(one))))
    );
  };
  await eventually(inSync, () => 'the replica or the Sentinels did not find the master');

  return {
    url: `redis+sentinel://${watchers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER}`,
    servers,
    master,
    replica,
    async failOver(how, work = async () => {}) {
      await eventually(inSync, () => 'there is no replica to fail over to');
      const [old, next] = [await master(), await replica()];
      if (how === 'crashed and behind') {
        // What is written to the master while nobody takes it from there is lost with the master.
        next.pause();
        await old.command('CLIENT', 'KILL', 'TYPE', 'replica');
      }
      await work();
      if (how === 'handed over') await watchers[0]?.command('SENTINEL', 'FAILOVER', MASTER);
      else await old.kill();
      next.resume();
      const isMaster = async () =>
        (await masterPorts()).every((port) => port === next.port) &&
        /role:master/.test(String(await next.command('INFO', 'replication')));
      await eventually(isMaster, () => 'the replica was not promoted');
      if (how !== 'handed over') await old.restart(...replicaOf(next.port));
    },
  };
}

/** What the Sentinels say of a server: names and values in turn. */
function flagsOf(state: unknown): string {
  const words = state as string[];
  return words[words.indexOf('flags') + 1] ?? '';
}

export interface RedisCluster {
  url: string;
  servers: readonly RedisServer[];
  /** The server that has the slot of a key. */
  ownerOf(key: string): Promise<RedisServer>;
}

const SLOTS = 16_384;
/** How far the ports of the cluster's own talk are from those of its clients. */
const BUS = 10_000;
const MAX_PORT = 65_535;

/** Three masters without replicas: who loses one waits until it is back. */
export async function startRedisCluster(t: Scope, size = 3): Promise<RedisCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no'];
  const servers: RedisServer[] = [];
  while (servers.length < size) {
    const port = await freePort();
    if (port + BUS > MAX_PORT) continue;
    servers.push(await startRedisServer(t, { port, args }));
  }
  const [first, ...others] = servers;
  if (first === undefined) throw new Error('a cluster has servers');
  const begin = (n: number) => Math.floor((n * SLOTS) / size);
  for (const [i, { command }] of servers.entries()) {
    await command('CLUSTER', 'ADDSLOTSRANGE', begin(i), begin(i + 1) - 1);
  }
  for (const { port } of others) await first.command('CLUSTER', 'MEET', '127.0.0.1', port);
  const isUp = async ({ command }: RedisServer) => {
    const info = String(await command('CLUSTER', 'INFO'));
    return /cluster_state:ok/.test(info) && info.includes(`cluster_size:${size}`);
  };
  await eventually(
    async () => (await Promise.all(servers.map(isUp))).every(Boolean),
    () => 'the cluster did not come up',
  );
  return {
    url: `redis+cluster://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    async ownerOf(key) {
      const slot = Number(await first.command('CLUSTER', 'KEYSLOT', key));
      const owner = servers.find((_, i) => slot < begin(i + 1));
      if (owner === undefined) throw new Error('nobody has the slot');
      return owner;
    },
  };
}
