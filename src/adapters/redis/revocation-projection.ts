/** The projection in Redis: a key a rule, which expires by itself; a marker that says that it is whole; who has a copy. */
import { createHash } from 'node:crypto';
import { keyOf, notBeforeSeconds, type Revocation, revocationKinds, rulesFor } from '../../domain/revocation.js';
import type { Clock } from '../../ports/clock.js';
import type { Random } from '../../ports/random.js';
import { LEASE_OVER_MS, type RevocationProjection } from '../../ports/revocation-projection.js';
import { within } from '../system/within.js';
import type { RedisConnection } from './connection.js';
import { keysOf, type ProjectionKeys, type ScriptName, scripts } from './revocation-scripts.js';

/** Whoever rebuilds and dies holds up the others for this long. Milliseconds. */
const LOCK_MS = 10_000;
/** A little more than the connection's own limit for a command. Milliseconds. */
const ANSWER_TIMEOUT_MS = 1_500;
/** A message is a page of rules; what is longer is not from here. Characters. */
const MAX_MESSAGE = 1_048_576;
/** In the place of infinity, which Lua's numbers are not read from. Seconds since the epoch. */
const FOR_EVER = '9000000000000';

const sha1s = new Map(
  Object.entries(scripts).map(([name, { lua }]) => [name, createHash('sha1').update(lua).digest('hex')]),
);

/** As it goes to the other nodes. */
type Message = { from: number; batch: readonly Revocation[] };

export function createRedisProjection(
  { speaker, subscribe }: RedisConnection,
  /** Which one this is, as its database says. */
  installation: () => Promise<string>,
  clock: Clock,
  random: Random,
): RevocationProjection {
  const node = Buffer.from(random.bytes(9)).toString('base64url');
  const listeners: ((message: string) => void)[] = [];
  let known: ProjectionKeys | null = null;

  /** The database may be away when it is first asked; whoever needs the keys next asks again. */
  async function keys(): Promise<ProjectionKeys> {
    known ??= keysOf(await installation());
    for (const listener of listeners.splice(0)) subscribe(known.channel, listener);
    return known;
  }

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

  const rulesOf = ({ rule }: ProjectionKeys, batch: readonly Revocation[]) =>
    batch.map(({ kind, value }) => rule(keyOf(kind, value)));
  // How long a rule lasts is told by no clock of this node, which may be wrong: its whole time, from now on.
  const valuesOf = (batch: readonly Revocation[]) =>
    batch.flatMap((revocation) => {
      const notBefore = notBeforeSeconds(revocation);
      const life = Math.max(revocation.expiresAt - revocation.revokedAt, 1);
      return [Number.isFinite(notBefore) ? notBefore : FOR_EVER, life];
    });
  const headOf = (answer: unknown): number | null => (answer === null ? null : Number(answer));

  return {
    async renew(head) {
      const { marker, nodes } = await keys();
      return headOf(await run('renew', [marker, nodes], [node, head]));
    },
    async publish(from, batch) {
      const of = await keys();
      const head = batch.at(-1)?.id ?? from;
      const message: Message = { from, batch };
      const values = [from, head, of.channel, JSON.stringify(message), ...valuesOf(batch)];
      return headOf(await run('publish', [of.marker, ...rulesOf(of, batch)], values));
    },
    async behind(head) {
      const { marker, nodes } = await keys();
      const answer = await run('behind', [marker, nodes], [node, head]);
      // Not whole any more: nobody can say who has what.
      if (answer === null) throw new Error('the projection has to be rebuilt');
      return answer as string[];
    },
    async drop(behind, head) {
      const { nodes } = await keys();
      await run('drop', [nodes], [head, ...behind]);
    },
    async ask(token) {
      const { marker, rule } = await keys();
      const rules = rulesFor(token).map(([kind, value]) => rule(keyOf(kind, value)));
      const answer = await run('ask', [marker, ...rules], [token.iat]);
      return answer === null ? null : answer === 1;
    },
    async rebuild(last, load) {
      const me = Buffer.from(random.bytes(9)).toString('base64url');
      const of = await keys();
      const { marker, nodes, lock } = of;
      const process = await run('begin', [marker, nodes, lock], [me, LOCK_MS]);
      if (process === null) return false;
      const begun = clock.monotonic();
      let isDone = false;
      try {
        let head = await last();
        for await (const batch of load()) {
          const values = [me, LOCK_MS, ...valuesOf(batch)];
          if ((await run('fill', [lock, ...rulesOf(of, batch)], values)) !== 1) return false;
          head = Math.max(head, batch.at(-1)?.id ?? 0);
        }
        // Leases that were granted before nobody knows of any more. They are over when this one would be.
        await clock.pause(Math.max(begun + LEASE_OVER_MS - clock.monotonic(), 0));
        isDone = (await run('finish', [marker, lock], [me, String(process), head])) === 1;
        return isDone;
      } finally {
        // The next one need not wait until it expires.
        if (!isDone) await run('release', [lock], [me]).catch(() => {});
      }
    },
    listen(listener) {
      listeners.push((text) => {
        const message = parseMessage(text);
        if (message !== null) listener(message.from, message.batch);
      });
      keys().catch(() => {});
    },
  };
}

/** What is not a message is not taken for one: a stranger on the channel must not end the process. */
function parseMessage(text: string): Message | null {
  if (text.length > MAX_MESSAGE) return null;
  try {
    const { from, batch } = JSON.parse(text) as Message;
    if (!isId(from) || !Array.isArray(batch) || !batch.every(isRevocation)) return null;
    return batch.every(({ id }, i) => id > (batch[i - 1]?.id ?? from)) ? { from, batch } : null;
  } catch {
    return null;
  }
}

const isId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

const isRevocation = (value: unknown): boolean => {
  const { id, kind, value: of, notBefore, revokedAt, expiresAt } = value as Revocation;
  const instants = notBefore === null ? [revokedAt, expiresAt] : [notBefore, revokedAt, expiresAt];
  return isId(id) && revocationKinds.includes(kind) && typeof of === 'string' && instants.every(Number.isSafeInteger);
};
