/** What a node knows of clients, in the life of a node. */
import type { Logger } from 'pino';
import { type ClientDirectory, DIRECTORY_POLL_S } from '../domain/client-directory.js';
import type { Announcements } from '../ports/announcements.js';
import { every } from './every.js';

/** Resolves when it has been read once, or could not be: pages of other origins are not served until it has. */
export async function followClients(
  { directory }: { directory: ClientDirectory },
  announcements: Announcements,
  log: Pick<Logger, 'warn'>,
): Promise<() => void> {
  const failed = (error: unknown) => log.warn({ err: error }, 'could not read the clients; trying again');
  announcements.listen('clients', () => void directory.load().catch(failed));
  await directory.load().catch(failed);
  return every(DIRECTORY_POLL_S, directory.load, failed);
}
