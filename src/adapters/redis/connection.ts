/** The connections to Redis: one speaks, one listens; both reconnect by themselves, for ever. */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { parseRedisUrl, type RedisAddress } from './url.js';

// Milliseconds. A node that cannot reach Redis says so instead of waiting for it.
const CONNECT_TIMEOUT_MS = 1_000;
const COMMAND_TIMEOUT_MS = 1_000;
const MAX_RECONNECT_DELAY_MS = 1_000;

export interface RedisConnection {
  speaker: Redis | Cluster;
  /** Calls back with every message on the channel, also after a reconnection. */
  subscribe(channel: string, listener: (message: string) => void): void;
  close(): Promise<void>;
}

const retryStrategy = (times: number): number => Math.min(times * 50, MAX_RECONNECT_DELAY_MS);

type Limits = Pick<RedisOptions, 'commandTimeout'> & { maxRetriesPerRequest: number | null };

function open(address: RedisAddress, limits: Limits): Redis | Cluster {
  const { kind, nodes, tls, username, password, db, master } = address;
  const options = {
    connectTimeout: CONNECT_TIMEOUT_MS,
    connectionName: 'keyturn',
    retryStrategy,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
    ...limits,
  };
  if (kind === 'cluster') {
    return new Cluster(nodes, {
      redisOptions: options,
      clusterRetryStrategy: retryStrategy,
      slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
      slotsRefreshInterval: 5 * MAX_RECONNECT_DELAY_MS,
    });
  }
  if (kind === 'sentinel') {
    return new Redis({
      ...options,
      sentinels: nodes,
      ...(master === undefined ? {} : { name: master }),
      sentinelRetryStrategy: retryStrategy,
      // The Sentinels tell of a new master when there is one. The old one does not: for seconds it goes on as if it were,
      // until it is told, or refuses to write for want of its replica.
      failoverDetector: true,
      reconnectOnError: (error: Error) => /READONLY|NOREPLICAS/.test(error.message),
    });
  }
  return new Redis({ ...options, ...nodes[0], ...(db === undefined ? {} : { db }) });
}

export function connectRedis(url: string, onProblem: (problem: string) => void): RedisConnection {
  const address = parseRedisUrl(url);
  if (address === null) throw new Error('REDIS_URL cannot be read');
  const speaker = open(address, {
    commandTimeout: COMMAND_TIMEOUT_MS,
    // What waits for a connection fails with the attempt to make it.
    maxRetriesPerRequest: 0,
  });
  const listener = open(address, { maxRetriesPerRequest: null });
  const listeners = new Map<string, ((message: string) => void)[]>();

  for (const connection of [speaker, listener]) {
    // The message of a connection error names the address, never the password.
    connection.on('error', (error: NodeJS.ErrnoException) => onProblem(error.code ?? error.name));
  }
  listener.on('message', (channel: string, message: string) => {
    for (const call of listeners.get(channel) ?? []) call(message);
  });

  return {
    speaker,
    subscribe(channel, call) {
      const known = listeners.get(channel);
      if (known !== undefined) known.push(call);
      else {
        listeners.set(channel, [call]);
        listener.subscribe(channel).catch((error: Error) => onProblem(error.name));
      }
    },
    async close() {
      speaker.disconnect();
      listener.disconnect();
    },
  };
}
