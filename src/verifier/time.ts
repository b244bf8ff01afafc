import { type NodeCrypto, nodeCrypto } from './signature.js';

/** The world as the verifier sees it, in one place, so that tests can bring another. */
export interface World {
  fetch: typeof globalThis.fetch;
  /** Milliseconds since the epoch: for what tokens say of themselves. */
  now(): number;
  /** Milliseconds since some moment of its own: for the age of things, which a clock that is set must not change. */
  monotonic(): number;
  /** Calls `work` after so many milliseconds; what it returns calls that off. */
  after(ms: number, work: () => void): () => void;
  /** From 0 up to, not including, 1. */
  random(): number;
  /** Where there is Node's own. */
  nodeCrypto: NodeCrypto | null;
}

export const systemWorld = (fetch?: typeof globalThis.fetch): World => ({
  // Looked up at each call, so that what instruments the global one later is heard of.
  fetch: fetch ?? ((...args) => globalThis.fetch(...args)),
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, work) {
    const timer = setTimeout(work, Math.min(ms, MAX_TIMER_MS));
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
  nodeCrypto: nodeCrypto(),
});

/** A longer one would go off at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds until the next attempt after `failures` in a row (1 or more): doubling up to `most`, half of it drawn. */
export const backOff = (failures: number, first: number, most: number, random: number): number =>
  Math.min(most, first * 2 ** (failures - 1)) * (0.5 + random / 2);
