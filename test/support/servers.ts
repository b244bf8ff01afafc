/** Real servers from the machine's binaries: on free ports, in folders of their own, stopped by pid. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export interface Server {
  url: string;
  port: number;
  /** The process that was started; also the parent of a server's workers. */
  pid: number;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;

/** A free port of the loopback interface; somebody else may take it before it is used, so users should retry. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export function findBinary(name: string): string | null {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort().reverse() : [];
  // Debian keeps servers in /usr/sbin, which is not in everybody's PATH.
  const path = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'];
  const folders = [...versions.map((v) => join(debian, v, 'bin')), ...path];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** All that a database holds, as a thief of its backup has it. Null where there is no `pg_dump`. */
export function dumpPostgres(url: string): string | null {
  const binary = findBinary('pg_dump');
  return binary && execFileSync(binary, ['--dbname', url], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

/** Postgres refuses to run as root: then another user has to. */
function unprivileged(): { uid: number; gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  for (const user of ['postgres', 'nobody']) {
    try {
      const id = (flag: string) => Number(execFileSync('id', [flag, user], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // There is no such user here.
    }
  }
  return { uid: 65_534, gid: 65_534 };
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function whenUp(child: ChildProcess, isUp: () => Promise<boolean>, what: string): Promise<void> {
  let output = '';
  child.stderr?.on('data', (chunk) => {
    output += chunk;
  });
  child.stdout?.resume();
  for (const start = Date.now(); Date.now() - start < START_TIMEOUT_MS; ) {
    if (child.exitCode !== null) throw new Error(`${what} ended with ${child.exitCode}: ${output}`);
    if (await isUp()) return;
    await sleep(50);
  }
  throw new Error(`${what} did not come up: ${output}`);
}

export async function stopProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(killer);
}

export const hasPostgres = (): boolean => findBinary('initdb') !== null && findBinary('postgres') !== null;
export const hasPgDump = (): boolean => findBinary('pg_dump') !== null;
export const hasRedis = (): boolean => findBinary('redis-server') !== null;

export interface PostgresOptions {
  /** Without it the server does not wait for the disk: right for tests that do not crash it. */
  durable?: boolean;
  settings?: Record<string, string>;
  /** Where a server that was stopped is to come up again. */
  folder?: string;
  port?: number;
}

/** A PostgreSQL on loopback with the superuser `postgres` and no password. Null where there are no binaries. */
export async function startPostgres(options: PostgresOptions = {}): Promise<(Server & { folder: string }) | null> {
  const initdb = findBinary('initdb');
  const postgres = findBinary('postgres');
  if (initdb === null || postgres === null) return null;
  const user = unprivileged();
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'keyturn-pg-'));
  if (options.folder === undefined) {
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
    execFileSync(initdb, ['-D', folder, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'], {
      ...user,
      cwd: folder,
      stdio: 'ignore',
    });
  }
  const port = options.port ?? (await freePort());
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: folder,
    // Not UTC, so that whoever forgets about zones is found out.
    timezone: 'Asia/Kathmandu',
    max_connections: '200',
    ...(options.durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...options.settings,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(postgres, ['-D', folder, ...args], { ...user, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const isReady = findBinary('pg_isready');
  await whenUp(
    child,
    async () => {
      if (isReady === null) return accepts(port);
      try {
        await promisify(execFile)(isReady, ['-h', '127.0.0.1', '-p', String(port), '-q']);
        return true;
      } catch {
        return false;
      }
    },
    'postgres',
  );
  return {
    url: `postgresql://postgres@127.0.0.1:${port}/postgres`,
    port,
    folder,
    pid: child.pid as number,
    async stop() {
      // SIGINT is the fast shutdown: it does not wait for clients.
      await stopProcess(child, 'SIGINT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface RedisOptions {
  port?: number;
  /** More of its command line. */
  args?: readonly string[];
  /** Where a server that was stopped is to come up again, with its configuration. */
  folder?: string;
}

/** A Redis on loopback that keeps nothing. Null where there is no binary. */
export async function startRedis(options: RedisOptions = {}): Promise<(Server & { folder: string }) | null> {
  const binary = findBinary('redis-server');
  if (binary === null) return null;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'keyturn-redis-'));
  const port = options.port ?? (await freePort());
  const { args = [] } = options;
  // A Sentinel begins with the file of its configuration, and knows nothing of these.
  const keepsNothing = args.includes('--sentinel') ? [] : ['--save', '', '--appendonly', 'no', '--dir', folder];
  const all = [...args, '--port', String(port), '--bind', '127.0.0.1', ...keepsNothing];
  const child = spawn(binary, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  await whenUp(child, () => accepts(port), 'redis-server');
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    folder,
    pid: child.pid as number,
    async stop() {
      await stopProcess(child, 'SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
