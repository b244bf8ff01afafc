/**
 * What happens in Redis in one step. Every script begins with the marker: it names the process (`run_id`) that the
 * projection was written to, and how many keys that had evicted. A restart, a flush, or a replica that took over and may
 * lack what was last written, all leave a marker that is missing or names another process; a server that is short of
 * memory takes rules away. Then the projection is not whole.
 *
 * All that decide whether a token is good are writes to Redis, also where they change nothing: a master that has been
 * deposed and does not know it stops taking writes first (`min-replicas-to-write`), a replica never takes any.
 */

/**
 * The keys of one installation: two that share a Redis share nothing in it. They have one hash tag, so that they are in
 * one slot of a cluster, where a script may use them together.
 */
export const keysOf = (installation: string) => {
  const key = (name: string): string => `{keyturn:${installation}}:${name}`;
  return {
    marker: key('marker'),
    nodes: key('nodes'),
    lock: key('rebuilding'),
    rule: (rule: string) => key(`revoked:${rule}`),
    channel: key('revocations'),
  };
};
export type ProjectionKeys = ReturnType<typeof keysOf>;

const state = `local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  .. ' ' .. string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')`;
const whole = `${state}
if redis.call('HGET', KEYS[1], 'run') ~= run then return false end`;

/** KEYS from `first` on are rules; of ARGV from `arg` on each has its not-before and its time to live in milliseconds. */
const put = (first: number, arg: number): string => `
for i = ${first}, #KEYS do
  local at = ${arg} + 2 * (i - ${first})
  local value, ttl = ARGV[at], tonumber(ARGV[at + 1])
  local known = redis.call('GET', KEYS[i])
  if known then
    if tonumber(known) > tonumber(value) then value = known end
    ttl = math.max(ttl, redis.call('PTTL', KEYS[i]))
  end
  if ttl > 0 then redis.call('SET', KEYS[i], value, 'PX', ttl) end
end`;

export const scripts = {
  /** marker, nodes; node, head. The lease is granted to who has everything. */
  renew: {
    lua: `${whole}
local head = redis.call('HGET', KEYS[1], 'head')
if tonumber(ARGV[2]) >= tonumber(head) then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
return head`,
  },
  /** marker, then rules; from, head, channel, message, then the rules' values. */
  publish: {
    lua: `${whole}
local head = redis.call('HGET', KEYS[1], 'head')
if tonumber(head) < tonumber(ARGV[1]) then return head end
${put(2, 5)}
if tonumber(ARGV[2]) > tonumber(head) then
  head = ARGV[2]
  redis.call('HSET', KEYS[1], 'head', head)
end
if #KEYS > 1 then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return head`,
  },
  /** marker, nodes; the node that asks, head. */
  behind: {
    lua: `${whole}
local nodes = redis.call('HGETALL', KEYS[2])
local behind = {}
for i = 1, #nodes, 2 do
  if nodes[i] ~= ARGV[1] and tonumber(nodes[i + 1]) < tonumber(ARGV[2]) then behind[#behind + 1] = nodes[i] end
end
return behind`,
  },
  /** nodes; head, then the nodes. */
  drop: {
    lua: `for i = 2, #ARGV do
  local has = redis.call('HGET', KEYS[1], ARGV[i])
  if has and tonumber(has) < tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 0`,
  },
  /** marker, then rules; when the token was issued. Nothing has an empty name, so that nothing is deleted. */
  ask: {
    lua: `${whole}
redis.call('HDEL', KEYS[1], '')
for i = 2, #KEYS do
  local before = redis.call('GET', KEYS[i])
  if before and tonumber(ARGV[1]) < tonumber(before) then return 1 end
end
return 0`,
  },
  /**
   * marker, nodes, lock; who rebuilds, for how many milliseconds. Answers with the process, or nothing where another is at
   * it, or was, and has finished: then there are leases already that must not be forgotten.
   */
  begin: {
    lua: `${state}
if redis.call('HGET', KEYS[1], 'run') == run then return false end
if not redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
redis.call('DEL', KEYS[2])
return run`,
  },
  /** lock, then rules; who rebuilds, for how long from now, then the rules' values. */
  fill: {
    lua: `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
${put(2, 3)}
return 1`,
  },
  /** marker, lock; who rebuilt it, the process it was begun on, head. */
  finish: {
    lua: `${state}
if redis.call('GET', KEYS[2]) ~= ARGV[1] or run ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'run', run, 'head', ARGV[3])
redis.call('DEL', KEYS[2])
return 1`,
  },
  /** lock; who rebuilt it and did not finish. */
  release: {
    lua: `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0`,
  },
} as const;

export type ScriptName = keyof typeof scripts;
