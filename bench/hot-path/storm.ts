/** Refreshes while as many connections more do nothing but log in. */
import { loadWith, type Workload } from './chain.js';
import type { Row } from './rounds.js';

export interface Storm {
  row: Row;
  /** Of logins a second, the warm-up first. */
  rates: number[];
  /** Whoever would have to wait too long is sent away: that is what keeps the others going. */
  sentAway(): number;
}

/** The refreshes are what is measured; the CPU of the logins is in it, divided by the refreshes, and their errors are. */
export function inStorm(name: string, alone: Row & { workload: Workload }, logins: Workload): Storm {
  const rates: number[] = [];
  let sentAway = 0;
  return {
    rates,
    sentAway: () => sentAway,
    row: {
      ...alone,
      name,
      async loadedBy(seconds) {
        const [refreshing, storming] = await Promise.all([
          loadWith(alone.workload, alone.connections, seconds),
          loadWith(logins, alone.connections, seconds),
        ]);
        rates.push(storming.rate);
        sentAway += storming.sentAway;
        return { ...refreshing, errors: refreshing.errors + storming.errors };
      },
    },
  };
}
