/** A projection that can be out of reach, as Redis can. */
import { createInProcessProjection } from '../../src/adapters/in-process/revocation-projection.js';
import type { RevocationProjection } from '../../src/ports/revocation-projection.js';
import { fakeClock } from './clock.js';

export function breakableProjection() {
  const inner = createInProcessProjection(fakeClock());
  let isBroken = false;
  const reached = async <T>(work: () => Promise<T>): Promise<T> => {
    if (isBroken) throw new Error('Redis cannot be reached');
    return work();
  };
  const projection: RevocationProjection = {
    renew: (head) => reached(() => inner.renew(head)),
    publish: (from, batch) => reached(() => inner.publish(from, batch)),
    behind: (head) => reached(() => inner.behind(head)),
    drop: (nodes, head) => reached(() => inner.drop(nodes, head)),
    ask: (token) => reached(() => inner.ask(token)),
    rebuild: (last, load) => reached(() => inner.rebuild(last, load)),
    listen: inner.listen,
  };
  return {
    projection,
    break() {
      isBroken = true;
    },
    mend() {
      isBroken = false;
    },
  };
}
