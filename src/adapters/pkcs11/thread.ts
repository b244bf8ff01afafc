/** What runs in each of the threads: one session, asked by messages (threads.ts), one at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Device, type Job, openDevice } from './device.js';

/** An error's message is all that crosses: what pkcs11js throws names the CKR_… and no data. */
export type Reply = { value: unknown } | { problem: string };

let device: Device | null = null;

function run(job: Job): unknown {
  device ??= openDevice(workerData);
  switch (job.do) {
    case 'connect':
      return device.connect();
    case 'ensureSupport':
      return device.ensureSupport(job.alg);
    case 'generate':
      return device.generate(job.alg, job.id);
    case 'rename':
      return device.rename(job.id, job.label);
    case 'ensureKey':
      return device.ensureKey(job.id);
    case 'sign':
      return device.sign(job.alg, job.id, job.input);
    case 'destroy':
      return device.destroy(job.id);
    case 'list':
      return device.list();
  }
}

parentPort?.on('message', (job: Job) => {
  let reply: Reply;
  try {
    reply = { value: run(job) };
  } catch (error) {
    reply = { problem: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(reply);
});
