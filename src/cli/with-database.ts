/** Runs a command on the database of the configuration, migrated, and closes it again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../adapters/postgres/database.js';
import { type Config, readConfig } from '../config.js';

const quiet = { info() {}, warn() {} };

export async function withDatabase(
  work: (opened: { config: Config; database: Database; migrated: string[] }) => Promise<void>,
): Promise<void> {
  const config = readConfig(undefined, 'command');
  const [{ migrate }, { openDatabase }] = await Promise.all([
    import('../adapters/postgres/migrate.js'),
    import('../compose.js'),
  ]);
  const database = await openDatabase(config, quiet);
  try {
    await work({ config, database, migrated: await migrate(database, sleep) });
  } finally {
    await database.close();
  }
}
