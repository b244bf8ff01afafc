/**
 * Sessions with a token, each in a thread of its own. A device that answers slowly, or not at all, then holds up neither
 * the event loop nor libuv's pool, where passwords are hashed.
 */
import { once } from 'node:events';
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
}

export interface Threads {
  /** Rejects when it takes longer than `ms`; the thread is busy until the device answers all the same. */
  call(job: Job, ms: number): Promise<unknown>;
  close(): void;
}

export function createThreads(settings: DeviceSettings): Threads {
  const limit = pLimit(THREADS);
  const oneAtATime = pLimit(1);
  const all = new Set<Thread>();
  const idle: Thread[] = [];
  let refusedPin: DeviceProblem | null = null;

  function start(): Thread {
    // Without what the process itself was told to load: nothing of that is needed here.
    const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: settings, execArgv: [] });
    const thread = { worker, connected: false };
    all.add(thread);
    worker.on('error', () => {
      all.delete(thread);
    });
    // What waits for an answer has a timer; a thread without work keeps no process alive.
    worker.unref();
    return thread;
  }

  async function ask({ worker }: Thread, job: Job): Promise<unknown> {
    const answered = once(worker, 'message');
    worker.postMessage(job);
    const [reply] = (await answered) as [Reply];
    if ('problem' in reply) throw new DeviceProblem(reply.problem);
    return reply.value;
  }

  /** One after the other, and never again with a PIN that was refused: devices lock themselves after a few of these. */
  const connect = (thread: Thread) =>
    oneAtATime(async () => {
      if (refusedPin !== null) throw refusedPin;
      thread.connected = false;
      try {
        await ask(thread, { do: 'connect' });
        thread.connected = true;
      } catch (error) {
        if (!(error instanceof DeviceProblem) || !error.message.startsWith('CKR_PIN_')) throw error;
        refusedPin = new DeviceProblem(`PKCS11_PIN: refused by the token (${error.message}); it is not tried again`);
        throw refusedPin;
      }
    });

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

  return {
    async call(job, ms) {
      let late = false;
      const work = limit(async () => {
        if (late) return undefined;
        const thread = idle.pop() ?? start();
        try {
          return await run(thread, job);
        } finally {
          // One that broke is not used again.
          if (all.has(thread)) idle.push(thread);
        }
      });
      try {
        return await within(ms, work);
      } finally {
        late = true;
      }
    },
    close() {
      for (const { worker } of all) void worker.terminate();
    },
  };
}
