/** Which Keyturn a database is that of: two that share a Redis must not take each other's revocations for their own. */
import type { Database, Statement } from './database.js';

const find: Statement = { name: 'installation_find', text: 'SELECT id FROM installation' };

export const installationOf = (database: Database) => async (): Promise<string> => {
  const [row] = await database.query<{ id: string }>(find, []);
  if (row === undefined) throw new Error('the table installation has no row');
  return row.id;
};
