import type { Announcements, Topic } from '../../ports/announcements.js';

/** For a single process: it tells itself. */
export function createInProcessAnnouncements(): Announcements {
  const listeners = new Map<Topic, (() => void)[]>();
  return {
    async announce(topic) {
      for (const call of listeners.get(topic) ?? []) queueMicrotask(call);
    },
    listen(topic, call) {
      listeners.set(topic, [...(listeners.get(topic) ?? []), call]);
    },
    async ping() {},
  };
}
