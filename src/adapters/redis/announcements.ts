/** Announcements over Redis publish/subscribe. */
import type { Announcements } from '../../ports/announcements.js';
import type { RedisConnection } from './connection.js';

const CHANNEL_PREFIX = 'keyturn:announce:';

export const createRedisAnnouncements = ({ speaker, subscribe }: RedisConnection): Announcements => ({
  async announce(topic) {
    await speaker.publish(CHANNEL_PREFIX + topic, '');
  },
  listen: (topic, call) => subscribe(CHANNEL_PREFIX + topic, call),
  async ping() {
    await speaker.ping();
  },
});
