import type { Instant } from '../domain/types.js';

export interface DatabaseHealth {
  /** The database's own clock; rejects when it can't be reached. */
  now(): Promise<Instant>;
}
