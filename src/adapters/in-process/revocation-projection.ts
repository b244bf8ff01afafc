import { coalesced } from '../../domain/coalesced.js';
import { type Revocation, RevocationSet } from '../../domain/revocation.js';
import type { Clock } from '../../ports/clock.js';
import type { RevocationProjection } from '../../ports/revocation-projection.js';
import type { RevocationStore } from '../../ports/revocation-store.js';

/** Rules read at once. */
const PAGE = 500;

/**
 * For a single process: nobody else holds a copy, and it is gone when the process is. Where others may commit all the
 * same, as a command does, `store` is looked at before anything is told: they cannot publish here.
 */
export function createInProcessProjection(
  clock: Clock,
  store: Pick<RevocationStore, 'after'> | null = null,
): RevocationProjection {
  const rules = new RevocationSet();
  let head: number | null = null;

  function add(batch: readonly Revocation[]): void {
    rules.forget(clock.now());
    for (const revocation of batch) rules.add(revocation);
    head = Math.max(head ?? 0, batch.at(-1)?.id ?? 0);
  }

  const look = coalesced(async () => {
    if (store === null || head === null) return;
    for (;;) {
      const batch = await store.after(head, clock.now(), PAGE);
      add(batch);
      if (batch.length < PAGE) return;
    }
  });

  return {
    async renew() {
      await look();
      return head;
    },
    async publish(from, batch) {
      if (head !== null && head >= from) add(batch);
      return head;
    },
    behind: async () => [],
    async drop() {},
    async ask(token) {
      await look();
      return head === null ? null : rules.covers(token);
    },
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
