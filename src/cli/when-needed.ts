/** What only some commands need, opened when they first use it: the others work without a KEK and without Redis. */
import type { Foundation } from '../compose.js';
import type { KekSource } from '../ports/kek-source.js';

export function keksWhenNeeded(open: () => KekSource): KekSource {
  let opened: KekSource | null = null;
  const keks = () => {
    opened ??= open();
    return opened;
  };
  return { newest: () => keks().newest(), find: (id) => keks().find(id) };
}

export function announcementsWhenNeeded(open: () => Foundation['announcements']) {
  let opened: Foundation['announcements'] | null = null;
  const announcements = () => {
    opened ??= open();
    return opened;
  };
  return {
    announce: (...args) => announcements().announce(...args),
    listen: (...args) => announcements().listen(...args),
    ping: () => announcements().ping(),
    close: async () => opened?.close?.(),
  } satisfies Foundation['announcements'];
}
