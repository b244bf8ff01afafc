/**
 * Three nodes, a store and a projection in a time of their own, by a seed: every message takes some time to arrive, on each
 * connection to the projection in order, as over a network. Now and then one is lost, or answered when nobody waits any more; the
 * projection is flushed; a node stands still, begins anew, or has its clock set. Acknowledged means enforced, whatever comes
 * before what. `SEED=1 SEEDS=200 node dist/test/domain/revocations-interleaved.test.js` runs others.
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

/**
 * Among these are two that find a lease which the others do not know of, were one granted for what was heard meanwhile, and one
 * that finds a lease of a node that has forgotten too much, were one kept though the clock is set back while it is asked for.
 */
const SEED = 28;
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
const RESTARTS_MS = [2_000, 5_000] as const;
/** A command to the projection that has no answer by then has failed, and may yet be carried out. */
const ANSWER_MS = 400;
const LOST_ONE_IN = 10;
/** Of a rebuild. Longer than its wait for leases that may be left. */
const LOCK_MS = 1_400;
/** By how much a node's clock is wrong: a step back is harmless, or makes it read all again. */
const STEPS_MS = [0, 0, 20_000, 7_200_000, -20_000] as const;
/** How much less than their rules tokens live, and by how much the store leaves out less than it is asked to. */
const TOLERANCE_MS = 60_000;

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

const NONE = {
  ...{ acknowledged: 0, pending: 0, good: 0, revoked: 0, unknown: 0, rebuilt: 0 },
  ...{ late: 0, lost: 0, takenOver: 0, restarted: 0, setBack: 0 },
};

async function simulate(seed: number) {
  const chance = seeded(seed);
  const time = createTime();
  const rows: Revocation[] = [];
  const leases = new Map<string, number>();
  let rules = new RevocationSet();
  let head: number | null = null;
  let lock: { owner: symbol; until: number } | null = null;
  const counts = { ...NONE };
  const accepted: string[] = [];
  const isOwner = (owner: symbol) => lock !== null && lock.owner === owner && time.now() < lock.until;

  function arrival(): number {
    const [least, most] = chance.next() < 1 / SLOW_ONE_IN ? SLOW_MS : USUAL_MS;
    return time.now() + chance.between(least, most);
  }

  /** What is sent over it arrives in order, unless it stands still: then later. */
  function createLine(node: { stoppedUntil: number }) {
    let last = 0;
    return () => {
      last = Math.max(last, node.stoppedUntil, arrival());
      return time.until(last);
    };
  }

  /** Over one connection of many: what is committed meanwhile is not in the answer. */
  async function fromStore<T>(read: () => T): Promise<T> {
    await time.until(arrival());
    const answer = read();
    await time.until(arrival());
    return answer;
  }
  const store = {
    append: async () => null,
    after: (id: number, at: Instant, limit: number) =>
      fromStore(() => {
        const ended = Math.min(at, START + time.now() + TOLERANCE_MS);
        return rows.filter((row) => row.id > id && row.expiresAt > ended).slice(0, limit);
      }),
    last: () => fromStore(() => rows.at(-1)?.id ?? 0),
  };
  type Tell = (from: number, batch: readonly Revocation[]) => void;
  const listeners = new Map<string, Tell>();

  function createNode(name: string) {
    const own = { stoppedUntil: 0, aheadBy: 0 };
    const [sent, received, told] = [createLine(own), createLine(own), createLine(own)];
    const clock = {
      now: () => instant(START + time.now() + own.aheadBy),
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
    /** `work` is done in one step at the server. */
    async function answered<T>(work: () => T): Promise<T> {
      const begun = time.now();
      await sent();
      const answer = work();
      await received();
      if (time.now() - begun > ANSWER_MS) counts.late++;
      return answer;
    }
    const asked = <T>(work: () => T) => within(ANSWER_MS, answered(work));
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
          if (batch.length > 0) for (const tell of listeners.values()) tell(from, batch);
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
          if (head !== null || (lock !== null && time.now() < lock.until)) return false;
          if (lock !== null) counts.takenOver++;
          lock = { owner: me, until: time.now() + LOCK_MS };
          leases.clear();
          return true;
        });
        if (!isMine) return false;
        const begun = time.now();
        let loaded = await last();
        for await (const batch of load()) {
          const isFilled = await asked(() => {
            if (!isOwner(me)) return false;
            lock = { owner: me, until: time.now() + LOCK_MS };
            for (const rule of batch) rules.add(rule);
            return true;
          });
          if (!isFilled) return false;
          loaded = Math.max(loaded, batch.at(-1)?.id ?? 0);
        }
        await time.until(begun + LEASE_OVER_MS);
        return asked(() => {
          if (!isOwner(me)) return false;
          lock = null;
          head = loaded;
          counts.rebuilt++;
          return true;
        });
      },
      listen: (listener) =>
        listeners.set(name, (from, batch) => {
          if (chance.next() < 1 / LOST_ONE_IN) counts.lost++;
          else void told().then(() => listener(from, batch));
        }),
    };
    return {
      ...{ name, own, clock },
      ...createRevocations({ store, projection, metrics: countNothing, clock, failOpen: false, within }),
    };
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
    const revoked = revocation(rows.length + 1, 'jti', jti, { revokedAt: instant(START + time.now()) });
    rows.push(revoked);
    try {
      await chance.pick(nodes).enforce();
    } catch {
      counts.pending++;
      return;
    }
    counts.acknowledged++;
    for (const node of nodes) {
      // By its clock the token is over.
      if (node.clock.now() > revoked.expiresAt - TOLERANCE_MS) continue;
      const outcome = await node.check(token({ jti }), {}).catch((error) => error.code);
      if (outcome === 'token_revoked') counts.revoked++;
      else if (outcome === 'revocation_unknown') counts.unknown++;
      else accepted.push(`${jti} after ${Math.round(time.now())} ms by ${node.name}`);
    }
  }

  function restart(): void {
    const gone = chance.pick(nodes);
    listeners.delete(gone.name);
    nodes[nodes.indexOf(gone)] = createNode(`node ${NODES + counts.restarted++}`);
  }

  function setClock(): void {
    const { own } = chance.pick(nodes);
    const before = own.aheadBy;
    own.aheadBy = chance.pick(STEPS_MS);
    if (own.aheadBy < before) counts.setBack++;
  }

  const background = [
    ...nodes.map((_, i) => every([FOLLOW_MS, FOLLOW_MS], () => nodes[i]?.follow().catch(() => {}))),
    every(COMMITS_MS, () => void revoke()),
    every(COMMITS_MS, async () => {
      if (
        (await chance
          .pick(nodes)
          .check(token(), {})
          .catch(() => null)) === 'good'
      )
        counts.good++;
    }),
    every(FLUSHES_MS, () => {
      head = null;
      lock = null;
      rules = new RevocationSet();
    }),
    every(FLUSHES_MS, () => {
      chance.pick(nodes).own.stoppedUntil = time.now() + chance.between(...STOPS_MS);
    }),
    every(RESTARTS_MS, restart),
    every(FLUSHES_MS, setClock),
  ];
  // As long again, for what is under way when it ends.
  await time.run(2 * LASTS_MS);
  await Promise.all(background);
  return { counts, accepted };
}

t.test('what is acknowledged is accepted by no node, whatever arrives before what', async (t) => {
  const all = { ...NONE };
  const [first, seeds] = [Number(process.env.SEED ?? SEED), Number(process.env.SEEDS ?? SEEDS)];
  for (let seed = first; seed < first + seeds; seed++) {
    const { accepted, counts } = await simulate(seed);
    t.same(accepted, [], `seed ${seed}`);
    for (const name of Object.keys(all) as (keyof typeof all)[]) all[name] += counts[name];
  }
  t.comment(all);
  for (const [what, times] of Object.entries(all)) t.ok(times > seeds / 4, `${what} has happened`);
});
