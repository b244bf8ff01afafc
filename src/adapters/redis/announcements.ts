/** Announcements over Redis publish/subscribe. One connection speaks, one listens; both reconnect by themselves. */
import { Redis } from 'ioredis';
import type { Announcements, Topic } from '../../ports/announcements.js';

const CHANNEL_PREFIX = 'keyturn:announce:';

// Milliseconds. A node that cannot reach Redis says so instead of waiting for it.
const CONNECT_TIMEOUT_MS = 2_000;
const COMMAND_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_DELAY_MS = 2_000;

export interface RedisAnnouncements extends Announcements {
  close(): Promise<void>;
}

export function connectAnnouncements(url: string, onProblem: (problem: string) => void): RedisAnnouncements {
  const options = {
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    maxRetriesPerRequest: 1,
    connectionName: 'keyturn',
    retryStrategy: (times: number) => Math.min(times * 100, MAX_RECONNECT_DELAY_MS),
  };
  const speaker = new Redis(url, options);
  // A subscription is kept and made again after a reconnection, however long Redis was away.
  const listener = new Redis(url, { ...options, maxRetriesPerRequest: null, commandTimeout: undefined as never });
  const listeners = new Map<string, (() => void)[]>();

  for (const connection of [speaker, listener]) {
    // The message of a connection error names the address, never the password.
    connection.on('error', (error: NodeJS.ErrnoException) => onProblem(error.code ?? error.name));
  }
  listener.on('message', (channel: string) => {
    for (const call of listeners.get(channel) ?? []) call();
  });

  return {
    async announce(topic) {
      await speaker.publish(CHANNEL_PREFIX + topic, '');
    },
    listen(topic: Topic, call) {
      const channel = CHANNEL_PREFIX + topic;
      const known = listeners.get(channel);
      if (known !== undefined) known.push(call);
      else {
        listeners.set(channel, [call]);
        listener.subscribe(channel).catch((error: Error) => onProblem(error.name));
      }
    },
    async ping() {
      await speaker.ping();
    },
    async close() {
      speaker.disconnect();
      listener.disconnect();
    },
  };
}
