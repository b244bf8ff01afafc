/** The projection in Redis: a key a rule, which expires by itself; a marker that says that it is whole; who has a copy. */
import { createHash } from 'node:crypto';
import { keyOf, notBeforeSeconds, type Revocation, rulesFor } from '../../domain/revocation.js';
import type { Instant } from '../../domain/types.js';
import type { Clock } from '../../ports/clock.js';
import type { Random } from '../../ports/random.js';
import { LEASE_MS, type RevocationProjection } from '../../ports/revocation-projection.js';
import { within } from '../system/within.js';
import type { RedisConnection } from './connection.js';
import { LOCK, MARKER, NODES, ruleKey, type ScriptName, scripts } from './revocation-scripts.js';

const CHANNEL = 'keyturn:revocations';
/** Whoever rebuilds and dies holds up the others for this long. Milliseconds. */
const LOCK_MS = 10_000;
/** A little more than the connection's own limit for a command. Milliseconds. */
const ANSWER_TIMEOUT_MS = 1_500;
/** In the place of infinity, which Lua's numbers are not read from. Seconds since the epoch. */
const FOR_EVER = '9000000000000';

const sha1s = new Map(
  Object.entries(scripts).map(([name, { lua }]) => [name, createHash('sha1').update(lua).digest('hex')]),
);

/** As it goes to the other nodes. */
type Message = { from: number; batch: readonly Revocation[] };

export function createRedisProjection(
  { speaker, subscribe }: RedisConnection,
  clock: Clock,
  random: Random,
): RevocationProjection {
  const node = Buffer.from(random.bytes(9)).toString('base64url');

  async function run(name: ScriptName, keys: readonly string[], values: readonly (string | number)[]) {
    // A cluster waits for its nodes without a limit of its own.
    return within(ANSWER_TIMEOUT_MS, send(name, keys, values));
  }

  /** By its hash; a server that does not know it, such as one that was restarted, is sent the script. */
  async function send(name: ScriptName, keys: readonly string[], values: readonly (string | number)[]) {
    const all = [...keys, ...values.map(String)];
    try {
      return await speaker.evalsha(sha1s.get(name) ?? '', keys.length, ...all);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return speaker.eval(scripts[name].lua, keys.length, ...all);
    }
  }

  const keysOf = (batch: readonly Revocation[]) => batch.map(({ kind, value }) => ruleKey(keyOf(kind, value)));
  const valuesOf = (batch: readonly Revocation[], at: Instant) =>
    batch.flatMap((revocation) => {
      const notBefore = notBeforeSeconds(revocation);
      return [Number.isFinite(notBefore) ? notBefore : FOR_EVER, Math.max(revocation.expiresAt - at, 1)];
    });
  const headOf = (answer: unknown): number | null => (answer === null ? null : Number(answer));

  return {
    async renew(head) {
      return headOf(await run('renew', [MARKER, NODES], [node, head]));
    },
    async publish(from, batch) {
      const head = batch.at(-1)?.id ?? from;
      const message: Message = { from, batch };
      const values = [from, head, CHANNEL, JSON.stringify(message), ...valuesOf(batch, clock.now())];
      return headOf(await run('publish', [MARKER, ...keysOf(batch)], values));
    },
    async behind(head) {
      const answer = await run('behind', [MARKER, NODES], [node, head]);
      // Not whole any more: nobody can say who has what.
      if (answer === null) throw new Error('the projection has to be rebuilt');
      return answer as string[];
    },
    async drop(nodes, head) {
      await run('drop', [NODES], [head, ...nodes]);
    },
    async ask(token) {
      const keys = rulesFor(token).map(([kind, value]) => ruleKey(keyOf(kind, value)));
      const answer = await run('ask', [MARKER, ...keys], [token.iat]);
      return answer === null ? null : answer === 1;
    },
    async rebuild(load) {
      const me = Buffer.from(random.bytes(9)).toString('base64url');
      const process = await run('begin', [MARKER, NODES, LOCK], [me, LOCK_MS]);
      if (process === null) return false;
      const begun = clock.monotonic();
      let head = 0;
      for await (const batch of load()) {
        const values = [me, LOCK_MS, ...valuesOf(batch, clock.now())];
        if ((await run('fill', [LOCK, ...keysOf(batch)], values)) !== 1) return false;
        head = batch.at(-1)?.id ?? head;
      }
      // Leases that were granted before nobody knows of any more. They are over when this one would be.
      await clock.pause(Math.max(begun + LEASE_MS - clock.monotonic(), 0));
      return (await run('finish', [MARKER, LOCK], [me, String(process), head])) === 1;
    },
    listen(listener) {
      subscribe(CHANNEL, (text) => {
        const message = parseMessage(text);
        if (message !== null) listener(message.from, message.batch);
      });
    },
  };
}

/** Whoever can write to Redis can say what he likes there; what is not a message is not taken for one. */
function parseMessage(text: string): Message | null {
  try {
    const { from, batch } = JSON.parse(text) as Message;
    if (!Number.isSafeInteger(from) || !Array.isArray(batch)) return null;
    return { from, batch };
  } catch {
    return null;
  }
}
