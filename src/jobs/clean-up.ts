/** Clean-up in the life of a node: every node tries, the lock lets one. */
import type { Logger } from 'pino';
import type { CleanUp } from '../domain/clean-up.js';
import { every } from './every.js';

/** Seconds. */
const RUN_S = 60;

export function startCleanUp(cleanUp: CleanUp, log: Pick<Logger, 'info' | 'warn'>): () => void {
  return every(
    RUN_S,
    async () => {
      const removed = await cleanUp.run();
      if (Object.values(removed).some((rows) => rows > 0)) log.info(removed, 'removed what had expired');
    },
    (error) => log.warn({ err: error }, 'could not remove what has expired; trying again'),
  );
}
