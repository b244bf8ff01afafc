import type { Instant } from '../domain/types.js';

export interface Clock {
  now(): Instant;
}
