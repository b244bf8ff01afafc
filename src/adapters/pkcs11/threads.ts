/**
 * Sessions with a token, each in a thread of its own. A device that answers slowly, or not at all, then holds up neither
 * the event loop nor libuv's pool, where passwords are hashed.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import pLimit from 'p-limit';
import { within } from '../system/within.js';
import type { DeviceSettings, Job } from './device.js';
import type { Reply } from './thread.js';

/** Sessions that can sign at one time. */
export const THREADS = 4;

/** After these a new session may do what the last one could not. */
const lost = new Set([
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_SESSION_CLOSED',
  'CKR_USER_NOT_LOGGED_IN',
  'CKR_OPERATION_ACTIVE',
  'CKR_KEY_HANDLE_INVALID',
  'CKR_OBJECT_HANDLE_INVALID',
  'CKR_TOKEN_NOT_PRESENT',
  'CKR_DEVICE_REMOVED',
  'CKR_DEVICE_ERROR',
  'CKR_GENERAL_ERROR',
  'CKR_FUNCTION_FAILED',
]);

/** Said by the device, or by device.ts; the thread itself is well. */
class DeviceProblem extends Error {
  override readonly name = 'DeviceProblem';
}

interface Thread {
  worker: Worker;
  connected: boolean;
  /** Aborted when the thread is no more. */
  ended: AbortSignal;
}

export interface Threads {
  /** Rejects when it takes longer than `ms`; the thread is busy until the device answers all the same. */
  call(job: Job, ms: number): Promise<unknown>;
  close(): void;
}

/** What tests put their own in the place of. */
const defaults = {
  thread: new URL('./thread.js', import.meta.url),
  /** How long others wait for one that logs in. Milliseconds. */
  turnMs: 10_000,
};

/** Before a thread that got no session is given another try, or another thread has one free. Milliseconds. */
const SESSION_RETRY_MS = 50;

export function createThreads(settings: DeviceSettings, { thread: code, turnMs } = defaults): Threads {
  const limit = pLimit(THREADS);
  const oneAtATime = pLimit(1);
  const all = new Set<Thread>();
  /** The last one is asked first. */
  const idle: Thread[] = [];
  let refusedPin: DeviceProblem | null = null;

  function start(): Thread {
    // Without what the process itself was told to load: nothing of that is needed here.
    const worker = new Worker(code, { workerData: settings, execArgv: [] });
    const life = new AbortController();
    const thread = { worker, connected: false, ended: life.signal };
    all.add(thread);
    // Whoever waits for an answer hears of it there.
    worker.on('error', () => {});
    worker.once('exit', () => {
      all.delete(thread);
      const at = idle.indexOf(thread);
      if (at >= 0) idle.splice(at, 1);
      life.abort();
    });
    // What waits for an answer has a timer; a thread without work keeps no process alive.
    worker.unref();
    return thread;
  }

  async function ask({ worker, ended }: Thread, job: Job): Promise<unknown> {
    const answered = once(worker, 'message', { signal: ended });
    worker.postMessage(job);
    const [reply] = (await answered) as [Reply];
    if ('problem' in reply) throw new DeviceProblem(reply.problem);
    return reply.value;
  }

  /** Never again with a PIN that was refused: devices lock themselves after a few of these. */
  async function logIn(thread: Thread): Promise<void> {
    try {
      await ask(thread, { do: 'connect' });
      thread.connected = true;
    } catch (error) {
      if (!(error instanceof DeviceProblem) || !error.message.startsWith('CKR_PIN_')) throw error;
      refusedPin = new DeviceProblem(`PKCS11_PIN: refused by the token (${error.message}); it is not tried again`);
      throw refusedPin;
    }
  }

  /** One after the other; but one that hangs does so alone. */
  async function connect(thread: Thread): Promise<void> {
    const { done } = await oneAtATime(async () => {
      if (refusedPin !== null) throw refusedPin;
      thread.connected = false;
      const done = logIn(thread);
      await within(turnMs, done).catch(() => {});
      return { done };
    });
    await done;
  }

  async function run(thread: Thread, job: Job): Promise<unknown> {
    if (!thread.connected) await connect(thread);
    try {
      return await ask(thread, job);
    } catch (error) {
      if (!(error instanceof DeviceProblem) || !lost.has(error.message)) throw error;
    }
    await connect(thread);
    return ask(thread, job);
  }

  function giveBack(thread: Thread): void {
    // One that broke is not used again.
    if (!all.has(thread)) return;
    if (thread.connected) idle.push(thread);
    else idle.unshift(thread);
  }

  /** A token has no session for one more thread: those that have one do the work. */
  const othersCan = (error: unknown): boolean =>
    error instanceof DeviceProblem &&
    error.message === 'CKR_SESSION_COUNT' &&
    [...all].some(({ connected }) => connected);

  return {
    async call(job, ms) {
      let late = false;
      const attempt = () =>
        limit(async () => {
          if (late) return undefined;
          const thread = idle.pop() ?? start();
          try {
            const result = await run(thread, job);
            // Nobody waits for the key any more, so nobody would ever store where it is.
            if (late && job.do === 'generate') await run(thread, { do: 'destroy', id: job.id });
            return result;
          } finally {
            giveBack(thread);
          }
        });
      async function work(): Promise<unknown> {
        for (;;) {
          try {
            return await attempt();
          } catch (error) {
            if (late || !othersCan(error)) throw error;
          }
          await sleep(SESSION_RETRY_MS);
        }
      }
      try {
        return await within(ms, work());
      } finally {
        late = true;
      }
    },
    close() {
      for (const { worker } of all) void worker.terminate();
    },
  };
}
