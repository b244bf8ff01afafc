/** What is measured, started as it is for use: its own PostgreSQL, Redis and processes of the service. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { makeKek } from '../../src/adapters/kek-files/kek-source.js';
import { systemClock } from '../../src/adapters/system/clock.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { KEYTURN, temporaryFolder } from '../../test/support/process.js';
import type { Scope } from '../../test/support/scope.js';
import { freePort, type Server, startPostgres, startRedis, stopProcess } from '../../test/support/servers.js';
import { PASSWORD } from '../../test/support/service.js';
import { image } from './image.js';
import { inTime } from './in-time.js';
import { onMeasuredCore, startUnit, type Unit } from './processor.js';

export const EMAIL = 'ada@example.com';
export { PASSWORD };

/** All that is told to PostgreSQL beside where it listens; of durability everything is as it comes. */
const DATABASE_SETTINGS = { max_connections: '300', timezone: 'UTC' };
const UNREACHED = '1000000000';
/** As in production, with limits that count and are not met. */
const SERVICE_SETTINGS = {
  NODE_ENV: 'production',
  ISSUER: 'https://auth.example.com',
  LIMIT_REQUESTS: UNREACHED,
  LIMIT_CLIENT_REQUESTS: UNREACHED,
  LIMIT_SESSION_REQUESTS: UNREACHED,
  LIMIT_CHECKS: UNREACHED,
  LIMIT_CONNECTIONS_PER_ADDRESS: '10000',
};
const READY_MS = 60_000;
/** With thousands of sessions, which a peer makes one by one. */
const STARTED_MS = 600_000;

export interface Process {
  pid: number;
  port: number;
}

export interface Ground {
  scope: Scope;
  unit: Unit;
  database: { pid: number; url: string };
  /** Of a database of its own. */
  createDatabase(name: string): Promise<string>;
  /** One process of the service; they share Redis. The first one of a database migrates it. */
  startService(url: string, options?: ServiceOptions): Promise<Process & { readyMs: number; stop(): Promise<void> }>;
  /** A program of this folder or of the peers, which writes its port when it is ready. */
  startProgram(path: string, env: Record<string, string>): Promise<Process>;
}

export interface ServiceOptions {
  execArgv?: readonly string[];
  env?: Record<string, string>;
}

export async function startGround(scope: Scope): Promise<Ground> {
  // Noted before it is up: whoever interrupts this leaves nothing behind.
  const noted = <T extends Server | null>(starting: Promise<T>): Promise<T> => {
    scope.teardown(async () => (await starting)?.stop());
    return starting;
  };
  const [postgres, redis] = await onMeasuredCore(() =>
    Promise.all([noted(startPostgres({ durable: true, settings: DATABASE_SETTINGS })), noted(startRedis())]),
  );
  if (postgres === null || redis === null) throw new Error('PostgreSQL and redis-server are needed');
  const unit = await onMeasuredCore(() => startUnit(scope));
  const folder = temporaryFolder(scope);
  const keysDir = join(folder, 'keys');
  makeKek(keysDir, systemClock.now(), systemRandom);
  let services = 0;

  return {
    scope,
    unit,
    database: postgres,
    async createDatabase(name) {
      await queryOnce(postgres.url, `CREATE DATABASE ${name}`);
      return postgres.url.replace(/[^/]*$/, name);
    },
    async startService(url, { execArgv = [], env = {} } = {}) {
      const port = await freePort();
      const path = join(folder, `service-${services++}.log`);
      const log = openSync(path, 'w');
      const all = {
        ...{ ...SERVICE_SETTINGS, DATABASE_URL: url, REDIS_URL: redis.url, KEYS_DIR: keysDir },
        ...{ PORT: String(port), METRICS_PORT: String(await freePort()), ...env },
      };
      const begun = performance.now();
      const child = await onMeasuredCore(async () =>
        spawn(process.execPath, [...image.nodeFlags, ...execArgv, KEYTURN, 'serve'], {
          env: { PATH: process.env.PATH, ...image.environment, ...all },
          cwd: folder,
          stdio: ['ignore', log, log],
        }),
      );
      const stop = () => stopProcess(child, 'SIGTERM');
      scope.teardown(stop);
      await ready(port, () => child.exitCode === null).catch((error: Error) => {
        throw new Error(`${error.message}: ${readFileSync(path, 'utf8').slice(-1_000)}`);
      });
      return { pid: child.pid as number, port, readyMs: performance.now() - begun, stop };
    },
    async startProgram(path, env) {
      const child = await onMeasuredCore(async () =>
        spawn(process.execPath, [path], {
          env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
          stdio: ['ignore', 'pipe', 'inherit'],
        }),
      );
      scope.teardown(() => stopProcess(child, 'SIGTERM'));
      const ended = once(child, 'exit').then(([code]) => {
        throw new Error(`${path} ended with ${code}`);
      });
      const port = await Promise.race([inTime(STARTED_MS, portFrom(child.stdout)), ended]);
      return { pid: child.pid as number, port };
    },
  };
}

/** The first line that is a number: others may have something to say before. */
async function portFrom(output: Readable): Promise<number> {
  try {
    for await (const line of createInterface(output)) if (/^\d+$/.test(line)) return Number(line);
    throw new Error('it has not told its port');
  } finally {
    // What it says from now on nobody reads, and must not wait for a reader.
    output.resume();
  }
}

async function ready(port: number, isAlive: () => boolean): Promise<void> {
  for (const begun = performance.now(); performance.now() - begun < READY_MS; await sleep(5)) {
    if (!isAlive()) throw new Error('the service has ended');
    const status = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.status;
      },
      () => 0,
    );
    if (status === 200) return;
  }
  throw new Error('the service is not ready');
}

/** A connection of its own for each, so that none is there while something is measured. */
export async function queryOnce(url: string, text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** Who is sent away comes again: just started, on a busy machine, a service has too much to do. */
const REGISTER_TRIES = 10;

export async function register(port: number, email = EMAIL): Promise<void> {
  const body = JSON.stringify({ email, password: PASSWORD });
  for (let left = REGISTER_TRIES; ; left--) {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/users`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body },
    });
    if (answer.status === 201) return;
    if (answer.status !== 503 || left === 1)
      throw new Error(`cannot register: ${answer.status} ${await answer.text()}`);
    await sleep(1000 * Number(answer.headers.get('retry-after') ?? 1));
  }
}
