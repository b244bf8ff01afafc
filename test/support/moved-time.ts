/** Time that can be moved, for libraries that read the clock by themselves: this process's Date and performance. */
import type { Scope } from './scope.js';

export interface MovedTime {
  advance(seconds: number): void;
}

/** Timers go on as they were: what has been set for later comes when it would have come. */
export function moveTime(t: Scope): MovedTime {
  const RealDate = Date;
  const elapsed = performance.now.bind(performance);
  let ahead = 0;
  const now = () => RealDate.now() + ahead;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given) => Reflect.construct(target, given.length === 0 ? [now()] : given),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  });
  performance.now = () => elapsed() + ahead;
  t.teardown(() => {
    globalThis.Date = RealDate;
    performance.now = elapsed;
  });
  return {
    advance(seconds) {
      ahead += seconds * 1000;
    },
  };
}
