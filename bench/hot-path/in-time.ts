import { setTimeout as sleep } from 'node:timers/promises';

/** What is late goes on, but nobody waits for it any more. */
export function inTime<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = sleep(ms, undefined, { ref: false }).then(() => {
    throw new Error(`did not end in ${Math.round(ms / 1000)} s`);
  });
  return Promise.race([work, late]);
}
