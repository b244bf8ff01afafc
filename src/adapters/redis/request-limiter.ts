/**
 * Requests counted for all nodes, and waited for by nobody: each node counts for itself, tells Redis a moment later what it
 * has counted, and hears what all have. While Redis does not answer, each goes on with its own count.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../ports/clock.js';
import type { RequestLimiterOf, RequestSubject } from '../../ports/request-limiter.js';
import { createInProcessRequestLimiter, WINDOW_MS, type Window } from '../in-process/request-limiter.js';
import { within } from '../system/within.js';
import type { RedisConnection } from './connection.js';

/** How long a count is kept back, so that one message tells of many. Milliseconds. */
const ROUND_MS = 200;
const ANSWER_TIMEOUT_MS = 1_000;
/** How long Redis is left alone after it has failed. Milliseconds. */
const REST_MS = 1_000;
/** A subject is told of when it has used another fiftieth of its limit: most never come near it, and cost nothing. */
const STEPS = 50;
/** In a cluster each is in a slot of its own; a script has keys of one slot alone. */
const GROUPS = 16;
/** Keys for one script: others wait for Redis meanwhile. */
const MAX_KEYS = 500;
/** Subjects that are kept back at most, while Redis is away. */
const MAX_UNTOLD = 50_000;

/** Counts, one a key; the length of a window, and what is to be added to each. Answers with each count and its time left. */
const ADD = `
local answers = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCRBY', key, ARGV[i + 1])
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[1])
    redis.call('PEXPIRE', key, left)
  end
  answers[2 * i - 1] = count
  answers[2 * i] = left
end
return answers`;
const ADD_SHA1 = createHash('sha1').update(ADD).digest('hex');

type Change = readonly [window: Window, kind: RequestSubject];

export interface SharedRequests {
  limiterOf: RequestLimiterOf;
  /** Tells all that is untold now. Never rejects. */
  tell(): Promise<void>;
  close(): void;
}

/** The same for a subject on every node. */
function groupOf({ subject }: Window): number {
  let sum = 0;
  for (let i = 0; i < subject.length; i++) sum = (sum * 31 + subject.charCodeAt(i)) | 0;
  return Math.abs(sum % GROUPS);
}

export interface SharedRequestsParts {
  redis: Pick<RedisConnection, 'speaker'>;
  /** Which one this is, as its database says. */
  installation: () => Promise<string>;
  clock: Pick<Clock, 'monotonic'>;
  onChange: (reached: boolean) => void;
}

export function createSharedRequests({ redis, installation, clock, onChange }: SharedRequestsParts): SharedRequests {
  const { speaker } = redis;
  let untold = new Map<Window, RequestSubject>();
  let reached = true;
  let restsUntil = 0;
  let timer: NodeJS.Timeout | null = null;
  let isClosed = false;

  function soon(): void {
    if (timer !== null || isClosed) return;
    timer = setTimeout(() => void tell(), ROUND_MS);
    timer.unref();
  }

  function note(kind: RequestSubject, window: Window): void {
    if (untold.size >= MAX_UNTOLD) return;
    untold.set(window, kind);
    soon();
  }

  async function add(keys: readonly string[], amounts: readonly number[]): Promise<number[]> {
    const values = [WINDOW_MS, ...amounts];
    try {
      return (await speaker.evalsha(ADD_SHA1, keys.length, ...keys, ...values)) as number[];
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return (await speaker.eval(ADD, keys.length, ...keys, ...values)) as number[];
    }
  }

  async function tellOf(prefix: string, group: number, changes: readonly Change[]): Promise<void> {
    const tag = `{${prefix}:${group}}`;
    const keys = changes.map(([window, kind]) => `${tag}:${kind}:${window.subject}`);
    const amounts = changes.map(([window]) => window.untold);
    // Not told again if there is no answer: Redis may have heard it, and nobody is to be counted twice.
    for (const [window] of changes) window.untold = 0;
    const answers = await add(keys, amounts);
    const now = clock.monotonic();
    for (const [i, [window]] of changes.entries()) {
      const [count = 0, left = WINDOW_MS] = answers.slice(2 * i);
      window.taken = Math.max(window.taken, count + window.untold);
      // A Redis that has forgotten a count begins a new minute; here the old one goes on to its end.
      window.endsAt = Math.min(window.endsAt, now + left);
    }
  }

  async function tell(): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    // Told by the database once. Where that is busy, it says nothing of Redis.
    const id = await within(ANSWER_TIMEOUT_MS, installation()).catch(() => null);
    const now = clock.monotonic();
    if (id === null || now < restsUntil) return soon();
    const prefix = `keyturn:${id}:requests`;
    const groups: Change[][] = Array.from({ length: GROUPS }, () => []);
    for (const [window, kind] of untold)
      if (window.endsAt > now && window.untold !== 0) groups[groupOf(window)]?.push([window, kind]);
    untold = new Map();
    const scripts = groups.flatMap((changes, group) => {
      const chunks: Promise<void>[] = [];
      for (let i = 0; i < changes.length; i += MAX_KEYS)
        chunks.push(tellOf(prefix, group, changes.slice(i, i + MAX_KEYS)));
      return chunks;
    });
    if (scripts.length === 0) return;
    const told = await within(ANSWER_TIMEOUT_MS, Promise.all(scripts)).then(
      () => true,
      () => false,
    );
    if (!told) restsUntil = clock.monotonic() + REST_MS;
    if (told !== reached) onChange(told);
    reached = told;
  }

  return {
    limiterOf(kind, limit) {
      const step = Math.max(1, Math.floor(limit / STEPS));
      return createInProcessRequestLimiter(limit, clock, (window) => {
        if (Math.abs(window.untold) >= step) note(kind, window);
      });
    },
    tell,
    close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
