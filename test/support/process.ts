/** The real command line as child processes, and a running service among them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { logPath, noteSecret, noteSecretsOf } from './run-log.js';
import type { Scope } from './scope.js';
import { freePort, stopProcess } from './servers.js';
import { PASSWORD, type Tokens, testEnvironment } from './service.js';

export const KEYTURN = fileURLToPath(new URL('../../src/cli/keyturn.js', import.meta.url));

/** A first start on a busy machine, with an embedded database that has a crash to recover from. */
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 25;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

export interface Running {
  child: ChildProcess;
  pid: number;
  /** What it has written so far. */
  output: { stdout: string; stderr: string };
  exited: Promise<Exit>;
}

/** Starts `keyturn …args` with this environment and nothing of the test's own but PATH. Killed after the test. */
export function run(t: Scope, args: readonly string[], env: Record<string, string>, cwd: string): Running {
  const child = spawn(process.execPath, [KEYTURN, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  // A file for each, so that lines of several do not get into one another.
  const log = args[0] === 'serve' ? logPath(`process-${child.pid}`) : null;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
    if (log !== null) appendFileSync(log, text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, ...output }));
  });
  t.teardown(() => stopProcess(child, 'SIGKILL'));
  return { child, pid: child.pid as number, output, exited };
}

/** Runs a command to its end. */
export const runToEnd = (
  t: Scope,
  args: readonly string[],
  env: Record<string, string> = {},
  cwd = temporaryFolder(t),
): Promise<Exit> => run(t, args, env, cwd).exited;

export function temporaryFolder(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-process-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface ServiceProcess extends Running {
  url: string;
  port: number;
  get(path: string, bearer?: string): Promise<Answer>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  register(email?: string): Promise<void>;
  login(email?: string): Promise<Tokens>;
  refresh(refreshToken: string, key?: string, hangUp?: AbortSignal): Promise<Answer>;
  /** Resolves when `/readyz` answers 200; rejects when the process ends instead. */
  ready(): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<Exit>;
}

/** Starts the service on a free port. It is not ready yet when this resolves: see `ready`. */
export async function launch(t: Scope, env: Record<string, string>, cwd = temporaryFolder(t)): Promise<ServiceProcess> {
  const port = Number(env.PORT ?? (await freePort()));
  const running = run(t, ['serve'], { ...testEnvironment, PORT: String(port), ...env }, cwd);
  const url = `http://127.0.0.1:${port}`;

  async function call(
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string,
    hangUp: AbortSignal | null = null,
  ): Promise<Answer> {
    noteSecret(headers['idempotency-key'], headers.authorization?.replace(/^\S+ /, ''));
    noteSecretsOf(body);
    const response = await fetch(url + path, {
      method,
      headers,
      signal: hangUp,
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    noteSecretsOf(text);
    noteSecret(response.headers.get('jwt'));
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : {} };
  }

  const post = (path: string, body: unknown, headers: Record<string, string> = {}, hangUp?: AbortSignal) =>
    call('POST', path, { 'content-type': 'application/json', ...headers }, JSON.stringify(body), hangUp);
  const get = (path: string, bearer?: string) =>
    call('GET', path, bearer === undefined ? {} : { authorization: `Bearer ${bearer}` });

  return {
    ...running,
    url,
    port,
    get,
    post,
    async register(email = 'ada@example.com') {
      const { status, body } = await post('/v1/users', { email, password: PASSWORD });
      if (status !== 201) throw new Error(`cannot register: ${status} ${body.code}`);
    },
    async login(email = 'ada@example.com') {
      const { status, body } = await post('/v1/login', { email, password: PASSWORD });
      if (status !== 200) throw new Error(`cannot log in: ${status} ${body.code}`);
      return body as unknown as Tokens;
    },
    refresh: (refreshToken, key, hangUp) =>
      post('/v1/refresh', { refresh_token: refreshToken }, key === undefined ? {} : { 'idempotency-key': key }, hangUp),
    async ready() {
      const ended = running.exited.then(({ code, stdout, stderr }) => {
        throw new Error(`the service ended with ${code}: ${stderr}${stdout}`);
      });
      const isReady = eventually(
        async () => (await get('/readyz')).status === 200,
        () => `the service is not ready: ${running.output.stderr}${running.output.stdout}`,
      );
      await Promise.race([isReady, ended]);
    },
    async stop(signal = 'SIGTERM') {
      await stopProcess(running.child, signal);
      return running.exited;
    },
  };
}

export async function launchReady(t: Scope, env: Record<string, string>, cwd?: string): Promise<ServiceProcess> {
  const service = await launch(t, env, cwd);
  await service.ready();
  return service;
}

/** Waits until `isSo`; a rejection counts as "not yet". */
export async function eventually(isSo: () => Promise<boolean> | boolean, what: () => string): Promise<void> {
  for (const start = Date.now(); Date.now() - start < READY_TIMEOUT_MS; ) {
    try {
      if (await isSo()) return;
    } catch {
      // Not yet.
    }
    await sleep(POLL_MS);
  }
  throw new Error(what());
}

/** Ends a process that the test run started, and waits until it is gone. */
export async function stopByPid(pid: number, signal: NodeJS.Signals): Promise<void> {
  process.kill(pid, signal);
  await eventually(
    () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    },
    () => `process ${pid} did not end`,
  );
}

/** Which rotation a refresh token comes from: 4 bytes after the session id. */
export const generationOf = (refreshToken: string): number =>
  Buffer.from(refreshToken.replace(/^ktr_/, ''), 'base64url').readUInt32BE(16);
