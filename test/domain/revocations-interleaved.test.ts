/**
 * Three nodes and a projection in a time of their own, by a seed: every message takes some time to arrive, on each connection in
 * order, as over a network; the projection is flushed now and then, and nodes stand still. Acknowledged means enforced,
 * whatever comes before what. `SEED=1 SEEDS=200 node dist/test/domain/revocations-interleaved.test.js` runs others.
 */
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { type Revocation, RevocationSet } from '../../src/domain/revocation.js';
import { createRevocations } from '../../src/domain/revocations.js';
import { type Instant, instant } from '../../src/domain/types.js';
import { countNothing } from '../../src/ports/metrics.js';
import { LEASE_MS, LEASE_OVER_MS, type RevocationProjection } from '../../src/ports/revocation-projection.js';
import { revocation, token } from '../support/revocations.js';
import { seeded } from '../support/seeded.js';

/** Among these are three that find a lease which the others do not know of, were one granted for what was heard meanwhile. */
const SEED = 41;
const SEEDS = 40;
const NODES = 3;
const START = Date.UTC(2026, 2, 1, 12);
const LASTS_MS = 12_000;
const FOLLOW_MS = LEASE_MS / 4;
/** On the way, and now and then. */
const USUAL_MS = [0, 8] as const;
const SLOW_MS = [20, 700] as const;
const SLOW_ONE_IN = 60;
/** From one to the next. */
const COMMITS_MS = [5, 60] as const;
const FLUSHES_MS = [1_500, 3_000] as const;
const STOPS_MS = [300, 1_500] as const;

/** A time in which nothing takes any, but what says how long it does. */
function createTime() {
  const due: { at: number; wake: () => void }[] = [];
  let now = 0;
  const until = (at: number) =>
    new Promise<void>((wake) => {
      const place = due.findIndex((other) => other.at > at);
      due.splice(place === -1 ? due.length : place, 0, { at: Math.max(at, now), wake });
    });
  return {
    now: () => now,
    until,
    async run(end: number) {
      for (;;) {
        await setImmediate();
        const next = due[0];
        if (next === undefined || next.at > end) return;
        due.shift();
        now = next.at;
        next.wake();
      }
    },
  };
}

async function simulate(seed: number) {
  const chance = seeded(seed);
  const time = createTime();
  const rows: Revocation[] = [];
  const leases = new Map<string, number>();
  let rules = new RevocationSet();
  let head: number | null = null;
  let rebuilding: symbol | null = null;
  const seen = { acknowledged: 0, pending: 0, good: 0, revoked: 0, unknown: 0, rebuilt: 0, accepted: [] as string[] };

  /** What is sent over it arrives in order, unless it stands still: then later. */
  function createLine(node: { stoppedUntil: number }) {
    let last = 0;
    return () => {
      const [least, most] = chance.next() < 1 / SLOW_ONE_IN ? SLOW_MS : USUAL_MS;
      last = Math.max(last, node.stoppedUntil, time.now() + chance.between(least, most));
      return time.until(last);
    };
  }

  const store = {
    append: async () => null,
    after: async (id: number, at: Instant, limit: number) =>
      rows.filter((row) => row.id > id && row.expiresAt > at).slice(0, limit),
    last: async () => rows.at(-1)?.id ?? 0,
  };
  const tellAll: ((from: number, batch: readonly Revocation[]) => void)[] = [];

  function createNode(name: string) {
    const own = { stoppedUntil: 0 };
    const [sent, received, told] = [createLine(own), createLine(own), createLine(own)];
    /** `work` is done in one step at the server. */
    async function asked<T>(work: () => T): Promise<T> {
      await sent();
      const answer = work();
      await received();
      return answer;
    }
    const projection: RevocationProjection = {
      renew: (has) =>
        asked(() => {
          if (head !== null && has >= head) leases.set(name, has);
          return head;
        }),
      publish: (from, batch) =>
        asked(() => {
          if (head === null || head < from) return head;
          for (const rule of batch) rules.add(rule);
          head = Math.max(head, batch.at(-1)?.id ?? from);
          if (batch.length > 0) for (const tell of tellAll) tell(from, batch);
          return head;
        }),
      behind: (by) =>
        asked(() => {
          if (head === null) throw new Error('has to be rebuilt');
          return [...leases].flatMap(([other, has]) => (other !== name && has < by ? [other] : []));
        }),
      drop: (nodes, by) =>
        asked(() => {
          for (const other of nodes) if ((leases.get(other) ?? by) < by) leases.delete(other);
        }),
      ask: (which) => asked(() => (head === null ? null : rules.covers(which))),
      async rebuild(last, load) {
        const me = Symbol(name);
        const isMine = await asked(() => {
          if (head !== null || rebuilding !== null) return false;
          rebuilding = me;
          leases.clear();
          return true;
        });
        if (!isMine) return false;
        const begun = time.now();
        let loaded = await last();
        for await (const batch of load()) {
          await asked(() => {
            if (rebuilding === me) for (const rule of batch) rules.add(rule);
          });
          loaded = Math.max(loaded, batch.at(-1)?.id ?? 0);
        }
        await time.until(begun + LEASE_OVER_MS);
        return asked(() => {
          if (rebuilding !== me) return false;
          rebuilding = null;
          head = loaded;
          seen.rebuilt++;
          return true;
        });
      },
      listen: (listener) => void tellAll.push((from, batch) => void told().then(() => listener(from, batch))),
    };
    const clock = {
      now: () => instant(START + time.now()),
      monotonic: () => time.now(),
      pause: (ms: number) => time.until(time.now() + ms),
    };
    const within = <T>(ms: number, work: Promise<T>) =>
      Promise.race([
        work,
        clock.pause(ms).then(() => {
          throw new Error('late');
        }),
      ]);
    return { own, ...createRevocations({ store, projection, metrics: countNothing, clock, failOpen: false, within }) };
  }

  const nodes = Array.from({ length: NODES }, (_, i) => createNode(`node ${i}`));

  /** Again and again, each time after some while. */
  async function every(ms: readonly [number, number], work: () => unknown) {
    while (time.now() < LASTS_MS) {
      await time.until(time.now() + chance.between(...ms));
      await work();
    }
  }

  async function revoke(): Promise<void> {
    const jti = `jti ${rows.length}`;
    rows.push(revocation(rows.length + 1, 'jti', jti, { revokedAt: instant(START + time.now()) }));
    try {
      await chance.pick(nodes).enforce();
    } catch {
      seen.pending++;
      return;
    }
    seen.acknowledged++;
    for (const node of nodes) {
      const outcome = await node.check(token({ jti }), {}).catch((error) => error.code);
      if (outcome === 'token_revoked') seen.revoked++;
      else if (outcome === 'revocation_unknown') seen.unknown++;
      else seen.accepted.push(`${jti} after ${Math.round(time.now())} ms`);
    }
  }

  const background = [
    ...nodes.map((node) => every([FOLLOW_MS, FOLLOW_MS], () => node.follow().catch(() => {}))),
    every(COMMITS_MS, () => void revoke()),
    every(COMMITS_MS, async () => {
      if (
        (await chance
          .pick(nodes)
          .check(token(), {})
          .catch(() => null)) === 'good'
      )
        seen.good++;
    }),
    every(FLUSHES_MS, () => {
      head = null;
      rebuilding = null;
      rules = new RevocationSet();
    }),
    every(FLUSHES_MS, () => {
      chance.pick(nodes).own.stoppedUntil = time.now() + chance.between(...STOPS_MS);
    }),
  ];
  // As long again, for what is under way when it ends.
  await time.run(2 * LASTS_MS);
  await Promise.all(background);
  return seen;
}

t.test('what is acknowledged is accepted by no node, whatever arrives before what', async (t) => {
  const all = { acknowledged: 0, pending: 0, good: 0, revoked: 0, unknown: 0, rebuilt: 0 };
  const [first, seeds] = [Number(process.env.SEED ?? SEED), Number(process.env.SEEDS ?? SEEDS)];
  for (let seed = first; seed < first + seeds; seed++) {
    const { accepted, ...counts } = await simulate(seed);
    t.same(accepted, [], `seed ${seed}`);
    for (const name of Object.keys(all) as (keyof typeof all)[]) all[name] += counts[name];
  }
  t.comment(all);
  for (const [what, times] of Object.entries(all)) t.ok(times > seeds, `${what} has happened`);
});
