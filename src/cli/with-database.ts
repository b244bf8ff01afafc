/** Runs a command on the database of the configuration, migrated, and closes it again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../adapters/postgres/database.js';
import type { Config } from '../config.js';

export const quiet = { info() {}, warn() {} };

export async function withDatabase<T>(
  config: Config,
  work: (opened: { database: Database; migrated: string[] }) => Promise<T>,
): Promise<T> {
  const [{ migrate }, { openDatabase }] = await Promise.all([
    import('../adapters/postgres/migrate.js'),
    import('../foundation.js'),
  ]);
  const database = await openDatabase(config, quiet);
  try {
    return await work({ database, migrated: await migrate(database, sleep) });
  } finally {
    await database.close();
  }
}
