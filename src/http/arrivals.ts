/**
 * Whoever has just come is let in before anything is begun for those who are in. Node accepts one connection in a turn of
 * its event loop: with the work of many requests in each turn, those who come at once would be let in over seconds, while
 * the ones before them are served again and again.
 */
import type { App } from './typed.js';

/** For no longer than so many milliseconds at a time. */
export function letInFirst(app: App, longest: number): void {
  /** What is to begin when nobody comes any more; null: it begins at once. */
  let held: (() => void)[] | null = null;
  let since = 0;
  let hasCome = false;

  function endOfTurn(): void {
    if (hasCome && performance.now() - since < longest) {
      hasCome = false;
      // Keeps the next turn from waiting for anything, too.
      setImmediate(endOfTurn);
      return;
    }
    const all = held ?? [];
    held = null;
    for (const begin of all) begin();
  }

  app.server.on('connection', () => {
    hasCome = true;
    if (held !== null) return;
    held = [];
    since = performance.now();
    setImmediate(endOfTurn);
  });
  app.addHook('onRequest', (_request, _reply, done) => {
    if (held === null) done();
    else held.push(done);
  });
}
