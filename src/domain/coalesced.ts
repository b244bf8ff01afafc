/**
 * Of callers at the same time, one run serves many: whoever comes while a run is under way waits for the next one, which
 * sees what was there when he came.
 */
export function coalesced(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;

  function call(): Promise<void> {
    if (running === null) {
      running = run().finally(() => {
        running = null;
      });
      return running;
    }
    next ??= running
      .catch(() => {})
      .then(() => {
        next = null;
        return call();
      });
    return next;
  }
  return call;
}
