/** A database that tells what is asked of it, and can go away. */
import type { Database } from '../../src/adapters/postgres/database.js';
import { Refusal } from '../../src/domain/errors.js';

export interface WatchedDatabase extends Database {
  /** Names of the statements since the last call; `orm` and `transaction` are told as such. */
  asked(): string[];
  setAway(isAway: boolean): void;
}

export function watched(database: Database): WatchedDatabase {
  const names: string[] = [];
  let away = false;
  const note = (name: string): void => {
    names.push(name);
    if (away) throw new Refusal('store_unavailable');
  };
  return {
    ...database,
    async query(statement, values) {
      note(statement.name);
      return database.query(statement, values);
    },
    async orm(work) {
      note('orm');
      return database.orm(work);
    },
    async transaction(work) {
      note('transaction');
      return database.transaction(work);
    },
    asked: () => names.splice(0),
    setAway(isAway) {
      away = isAway;
    },
  };
}
