/** Failures counted for all nodes: two keys a subject, the count and the block, which both end by themselves. */
import { createHash } from 'node:crypto';
import { type AttemptLimiter, type LimitSettings, noLimit } from '../../ports/attempt-limiter.js';
import { within } from '../system/within.js';
import type { RedisConnection } from './connection.js';

/** Somebody waits for his login meanwhile. Milliseconds. */
const ANSWER_TIMEOUT_MS = 100;

/**
 * count, block; limit, window, block, longest block (0: the count ends with the block), all in milliseconds. Answers with
 * the milliseconds for which the subject is blocked, and whether this failure began it. A block is a key with a time to
 * live: no node's clock has a say.
 */
const FAIL = `
local left = redis.call('PTTL', KEYS[2])
if left > 0 then return { left, 0 } end
local failures = redis.call('INCR', KEYS[1])
if failures == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
local limit, window, block, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if failures < limit then return { 0, 0 } end
if longest == 0 then
  redis.call('DEL', KEYS[1])
else
  block = math.min(block * 2 ^ math.min(failures - limit, 40), longest)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', block + window))
end
if block > 0 then redis.call('SET', KEYS[2], 1, 'PX', string.format('%.0f', block)) end
return { block, 1 }`;
const FAIL_SHA1 = createHash('sha1').update(FAIL).digest('hex');

const secondsOf = (ms: number): number => Math.max(0, Math.ceil(ms / 1000));

/** Rejects when Redis does not answer at once, or the database, which says once which installation this is. */
export function createRedisLimiter(
  { speaker }: Pick<RedisConnection, 'speaker'>,
  /** Which one this is, as its database says. */
  installation: () => Promise<string>,
  kind: string,
  { failures, window, block, longestBlock = 0 }: LimitSettings,
  patience = ANSWER_TIMEOUT_MS,
): AttemptLimiter {
  if (failures === 0) return noLimit;
  const limits = [failures, window * 1000, block * 1000, longestBlock * 1000];
  /** A tag for each subject: in a cluster its keys are in one slot, and those of all subjects are in all slots. */
  async function keysOf(subject: string): Promise<[count: string, block: string]> {
    const tag = `{keyturn:${await installation()}:${kind}:${subject}}`;
    return [`${tag}:failures`, `${tag}:block`];
  }

  async function fail(keys: readonly string[]): Promise<[number, number]> {
    try {
      return (await speaker.evalsha(FAIL_SHA1, keys.length, ...keys, ...limits)) as [number, number];
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return (await speaker.eval(FAIL, keys.length, ...keys, ...limits)) as [number, number];
    }
  }

  return {
    async blockedFor(subject) {
      const left = keysOf(subject).then(([, block]) => speaker.pttl(block));
      return secondsOf(await within(patience, left));
    },
    async fail(subject) {
      const [blockedMs, begins] = await within(patience, keysOf(subject).then(fail));
      return { blockedFor: secondsOf(blockedMs), begins: begins === 1 };
    },
  };
}
