/** Databases of addresses, which operators renew by replacing the files. */
import type { Logger } from 'pino';
import type { PlaceFiles } from '../ports/places.js';
import { every } from './every.js';

/** They are published once or twice a week: a minute is for those who wait for it to happen. */
const LOOK_EVERY_S = 60;

export function followPlaces(
  files: PlaceFiles,
  log: Pick<Logger, 'info' | 'warn'>,
  seconds = LOOK_EVERY_S,
): () => void {
  const look = async () => {
    for (const { database, problem } of await files.lookAgain()) {
      if (problem === null) log.info({ database }, 'a database of addresses was replaced, and is in use');
      else
        log.warn(
          { database, problem },
          'a database of addresses is of no use as it is now: the one before stays in use',
        );
    }
  };
  return every(seconds, look, (error) => log.warn({ err: error }, 'could not look for new databases of addresses'));
}
