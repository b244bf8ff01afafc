/** tap follows every promise of its own thread, and there are millions of them in a check: so it gets a thread to itself. */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { check, type Options, type Report } from './check.js';

/** Rejects with whatever the check throws. */
export async function checkInThread(options: Omit<Options, 'mutation'>): Promise<Report> {
  const [report] = await once(new Worker(new URL(import.meta.url), { workerData: options, execArgv: [] }), 'message');
  return report;
}

if (!isMainThread) parentPort?.postMessage(await check(workerData as Options));
