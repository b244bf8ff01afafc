/** Runs in the place of adapters/pkcs11/thread.ts: the test that opened the channel says what becomes of each job. */
import { BroadcastChannel, parentPort, threadId, workerData } from 'node:worker_threads';
import type { Job } from '../../src/adapters/pkcs11/device.js';
import type { Reply } from '../../src/adapters/pkcs11/thread.js';

export interface Asked {
  thread: number;
  job: Job;
}
export interface Told {
  thread: number;
  answer: Reply | 'die';
}

const channel = new BroadcastChannel(workerData.token);
parentPort?.on('message', (job: Job) => channel.postMessage({ thread: threadId, job } satisfies Asked));
channel.onmessage = (event) => {
  const { thread, answer } = (event as { data: Told }).data;
  if (thread !== threadId) return;
  if (answer === 'die') process.exit(1);
  parentPort?.postMessage(answer);
};
