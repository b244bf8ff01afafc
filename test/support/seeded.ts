/** Chance that a seed repeats: for schedules that somebody may want to see again. Nothing secret comes from it. */
export interface Chance {
  /** From 0 up to, not including, 1. */
  next(): number;
  between(least: number, most: number): number;
  pick<T>(of: readonly T[]): T;
}

/** Mulberry32: 32 bits of state, enough for a test. */
export function seeded(seed: number): Chance {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (least, most) => least + next() * (most - least),
    pick<T>(of: readonly T[]): T {
      const index = Math.floor(next() * of.length);
      if (index >= of.length) throw new Error('nothing to pick from');
      return of[index] as T;
    },
  };
}
