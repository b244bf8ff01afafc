import { RevocationSet } from '../../domain/revocation.js';
import type { Clock } from '../../ports/clock.js';
import type { RevocationProjection } from '../../ports/revocation-projection.js';

/** For a single process: nobody else holds a copy, and it is gone when the process is. */
export function createInProcessProjection(clock: Clock): RevocationProjection {
  const rules = new RevocationSet();
  let head: number | null = null;
  return {
    renew: async () => head,
    async publish(from, batch) {
      if (head === null || head < from) return head;
      rules.forget(clock.now());
      for (const revocation of batch) rules.add(revocation);
      head = Math.max(head, batch.at(-1)?.id ?? head);
      return head;
    },
    behind: async () => [],
    async drop() {},
    ask: async (token) => (head === null ? null : rules.covers(token)),
    async rebuild(last, load) {
      let loaded = await last();
      for await (const batch of load()) {
        for (const revocation of batch) rules.add(revocation);
        loaded = Math.max(loaded, batch.at(-1)?.id ?? 0);
      }
      head = Math.max(loaded, head ?? 0);
      return true;
    },
    listen() {},
  };
}
