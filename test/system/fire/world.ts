/** Three service processes on one PostgreSQL and one Redis, each of which can be made to crash and come back. */
import { createConnection } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import {
  eventually,
  launch,
  runToEnd,
  type ServiceProcess,
  stopByPid,
  temporaryFolder,
} from '../../support/process.js';
import type { Scope } from '../../support/scope.js';
import { startPostgres, startRedis } from '../../support/servers.js';

const SERVICES = 3;

export interface World {
  versions: { postgres: string; redis: string };
  services: readonly ServiceProcess[];
  ports: readonly number[];
  /** Kills one service process and starts another in its place. Resolves when that is ready. */
  killService(index: number): Promise<void>;
  /** `immediate` shutdown: the server recovers from its log as after a crash. Resolves when it takes connections. */
  crashPostgres(): Promise<void>;
  /** Empties Redis, kills it, and starts it again with nothing in it. */
  wipeRedis(): Promise<void>;
  allReady(): Promise<void>;
  /** Asks the database itself. */
  ask<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>;
  /** The lines with this in them that the service processes have logged, those that were killed too. */
  logged(text: string): string[];
}

export async function startWorld(t: Scope, settings: Record<string, string>): Promise<World> {
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  const starting = [
    startPostgres({ durable: true }),
    startRedis(),
    runToEnd(t, ['keys', 'new-kek'], { KEYS_DIR }),
  ] as const;
  let [postgres, redis] = await Promise.all(starting);
  if (postgres === null || redis === null) throw new Error('the binaries of PostgreSQL and Redis are needed');
  const { url, port: postgresPort, folder } = postgres;
  const { port: redisPort } = redis;
  t.teardown(() => Promise.all([postgres?.stop(), redis?.stop()]));

  const env = {
    NODE_ENV: 'production',
    ISSUER: 'https://auth.example.com',
    DATABASE_URL: url,
    REDIS_URL: redis.url,
    KEYS_DIR,
    ...settings,
  };
  const cwd = temporaryFolder(t);
  const services = await Promise.all(Array.from({ length: SERVICES }, () => launch(t, env, cwd)));
  const everStarted = [...services];
  const allReady = async () => {
    await Promise.all(services.map((service) => service.ready()));
  };
  await allReady();

  async function ask<Row extends pg.QueryResultRow>(text: string) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  }
  const [postgresVersion] = await ask<{ server_version: string }>('SHOW server_version');

  return {
    versions: {
      postgres: postgresVersion?.server_version ?? '',
      redis: await tellRedis(redisPort, 'INFO server', /redis_version:(\S+)/),
    },
    services,
    ports: services.map(({ port }) => port),
    allReady,
    async killService(index) {
      const killed = services[index % SERVICES];
      if (killed === undefined) return;
      await killed.stop('SIGKILL');
      const next = await launch(t, { ...env, PORT: String(killed.port) }, cwd);
      services[index % SERVICES] = next;
      everStarted.push(next);
      await next.ready();
    },
    async crashPostgres() {
      if (postgres !== null) await stopByPid(postgres.pid, 'SIGQUIT');
      postgres = null;
      postgres = await startPostgres({ durable: true, folder, port: postgresPort });
    },
    async wipeRedis() {
      if (redis === null) return;
      await tellRedis(redisPort, 'FLUSHALL', /^\+(OK)\r\n/);
      await stopByPid(redis.pid, 'SIGKILL');
      await redis.stop();
      redis = null;
      redis = await startRedis({ port: redisPort });
    },
    ask,
    logged: (text) =>
      everStarted.flatMap(({ output }) => output.stdout.split('\n').filter((line) => line.includes(text))),
  };
}

/** Sends one command, and waits for what it says. */
async function tellRedis(port: number, command: string, expected: RegExp): Promise<string> {
  let answer = '';
  const socket = createConnection(port, '127.0.0.1').setEncoding('utf8');
  socket.on('error', () => {});
  socket.on('data', (text) => {
    answer += text;
  });
  socket.write(`${command}\r\n`);
  await eventually(
    () => expected.test(answer),
    () => `Redis did not do ${command}: ${answer}`,
  );
  socket.destroy();
  return answer.match(expected)?.[1] ?? '';
}
