/** One rule of the protocol taken out of a running node: what the proof does not find then, it cannot find at all. */
import type { RedisConnection } from '../../../src/adapters/redis/connection.js';
import type { RevocationProjection } from '../../../src/ports/revocation-projection.js';

export type Mutation = 'does not wait' | 'takes any marker' | 'needs no lease';

interface Scripts {
  evalsha(...words: unknown[]): Promise<unknown>;
  eval(script: string, ...words: unknown[]): Promise<unknown>;
}

/** `takes any marker`: one that was made for another process counts too, as after a failover. */
export function breakable(redis: RedisConnection, mutation: () => Mutation | null): RedisConnection {
  const speaker = redis.speaker as unknown as Scripts;
  const broken: Partial<Scripts> = {
    evalsha: (...words) =>
      mutation() === 'takes any marker' ? Promise.reject(new Error('NOSCRIPT')) : speaker.evalsha(...words),
    eval: (script, ...words) =>
      speaker.eval(
        mutation() === 'takes any marker'
          ? script.replace('~= run then return false', '== false then return false')
          : script,
        ...words,
      ),
  };
  const changed = new Proxy(redis.speaker, {
    get(target, name) {
      const own: unknown = broken[name as keyof Scripts];
      const value: unknown = own ?? Reflect.get(target, name);
      return own === undefined && typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { ...redis, speaker: changed };
}

export const mutable = (projection: RevocationProjection, mutation: () => Mutation | null): RevocationProjection => ({
  ...projection,
  behind: async (head) => (mutation() === 'does not wait' ? [] : projection.behind(head)),
  renew: async (head) => (mutation() === 'needs no lease' ? head : projection.renew(head)),
});
