import { instant } from '../../domain/types.js';
import type { DatabaseHealth } from '../../ports/database-health.js';
import type { Database, Statement } from './database.js';

const now: Statement = { name: 'health_now', text: 'SELECT clock_timestamp() AS now' };

export const createDatabaseHealth = (database: Database): DatabaseHealth => ({
  async now() {
    const [row] = await database.query<{ now: Date }>(now, []);
    if (row === undefined) throw new Error('the database answered without a row');
    return instant(row.now.getTime());
  },
});
