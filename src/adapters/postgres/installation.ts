/** Which Keyturn a database is that of: two that share a Redis must not take each other's revocations for their own. */
import type { Database, Statement } from './database.js';

const find: Statement = { name: 'installation_find', text: 'SELECT id FROM installation' };

/** Asked for once: it never changes. */
export function installationOf(database: Database): () => Promise<string> {
  let known: string | null = null;
  return async () => {
    if (known !== null) return known;
    const [row] = await database.query<{ id: string }>(find, []);
    if (row === undefined) throw new Error('the table installation has no row');
    known = row.id;
    return known;
  };
}
