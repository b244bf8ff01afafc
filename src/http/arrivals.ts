/**
 * Whoever has just come is let in before anything is begun for those who are in. Node accepts one connection in a turn of
 * its event loop: with the work of many requests in each turn, those who come at once would be let in over seconds, while
 * the ones before them are served again and again.
 */
import type { App } from './typed.js';

/** Some tens of milliseconds of work: whoever does nothing but connect keeps nobody waiting for longer. */
const MOST_IN_A_ROW = 500;

export function letInFirst(app: App, most = MOST_IN_A_ROW): void {
  /** What is to begin when nobody comes any more; null: it begins at once. */
  let held: (() => void)[] | null = null;
  /** How many have come since it is held, now and when the last turn ended. */
  let come = 0;
  let comeBefore = 0;

  function endOfTurn(): void {
    if (come > comeBefore && come < most) {
      comeBefore = come;
      // Keeps the next turn from waiting for anything, too.
      setImmediate(endOfTurn);
      return;
    }
    const all = held ?? [];
    held = null;
    for (const begin of all) begin();
  }

  app.server.on('connection', () => {
    if (held === null) {
      held = [];
      come = 0;
      comeBefore = 0;
      setImmediate(endOfTurn);
    }
    come++;
  });
  app.addHook('onRequest', (_request, _reply, done) => {
    if (held === null) done();
    else held.push(done);
  });
}
