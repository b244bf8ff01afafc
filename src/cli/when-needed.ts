/** What only some commands need, opened when they first use it: the others work without a KEK and without Redis. */
import type { Messaging } from '../compose.js';
import type { KekSource } from '../ports/kek-source.js';

export function keksWhenNeeded(open: () => KekSource): KekSource {
  let opened: KekSource | null = null;
  const keks = () => {
    opened ??= open();
    return opened;
  };
  return { newest: () => keks().newest(), find: (id) => keks().find(id) };
}

export function messagingWhenNeeded(open: () => Messaging): Messaging {
  let opened: Messaging | null = null;
  const messaging = () => {
    opened ??= open();
    return opened;
  };
  const announcements = () => messaging().announcements;
  const projection = () => messaging().projection;
  return {
    announcements: {
      announce: (...args) => announcements().announce(...args),
      listen: (...args) => announcements().listen(...args),
      ping: () => announcements().ping(),
    },
    projection: {
      renew: (...args) => projection().renew(...args),
      publish: (...args) => projection().publish(...args),
      behind: (...args) => projection().behind(...args),
      drop: (...args) => projection().drop(...args),
      ask: (...args) => projection().ask(...args),
      rebuild: (...args) => projection().rebuild(...args),
      // A command holds no copy that others would have to tell of anything.
      listen() {},
    },
    close: async () => opened?.close(),
  };
}
