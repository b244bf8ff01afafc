/**
 * The proof under fire: honest clients refresh through a bad network while service processes are killed, PostgreSQL
 * crashes and Redis loses everything. Afterwards every client is compared with the row of its session.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultProxy, type Faults, startFaultProxy } from '../../support/fault-proxy.js';
import type { Scope } from '../../support/scope.js';
import { type Chance, seeded } from '../../support/seeded.js';
import { type Client, keepToTheRule } from './client.js';
import { type Judgement, judge } from './judge.js';
import { useTheLibrary } from './library.js';
import { startWorld, type World } from './world.js';

export interface FireSettings {
  clients: number;
  seconds: number;
  seed: number;
  /** A client's pause between two refreshes, milliseconds: from, to. */
  pauseMs: readonly [number, number];
  /** For how long a phone that is switched off stays off, milliseconds. */
  offMs: number;
  /** REFRESH_REUSE_LEEWAY of the services. */
  leeway: string;
}

export interface FireReport extends Judgement {
  settings: FireSettings;
  versions: World['versions'];
  network: FaultProxy['counts'];
  /** What the clients heard, and how often: `200 rotated`, `503 store_unavailable`, `no answer`. */
  heard: Record<string, number>;
  /** Copies that arrived two to four rotations late, of which the clients heard nothing. */
  superseded: number;
  kills: number;
  postgresCrashes: number;
  redisWipes: number;
  /** From the moment at which a client wanted a new token until it had it, milliseconds; not while its phone was off. */
  longestWaitMs: number;
}

/**
 * What arrives more than four rotations after it was sent ends the session, since nothing tells it from theft. A copy
 * may be late by a client's next rotation or two, and never by its four shortest pauses.
 */
const faultsFor = ({ pauseMs: [shortest] }: FireSettings): Faults => ({
  delay: { p: 0.05, ms: 150 },
  dropResponse: 0.05,
  cutBefore: 0.04,
  cutAfter: { p: 0.05, ms: 10 },
  duplicate: { p: 0.08, ms: 2.4 * shortest },
});

/** How long each trouble leaves the world in peace, milliseconds: from, to. The first comes within the shortest fire. */
const KILL_MS = [500, 2_500] as const;
const CRASH_MS = [3_000, 7_000] as const;
const WIPE_MS = [2_000, 5_000] as const;

const PATIENCE_MS = 60_000;
const LOGINS_AT_ONCE = 10;
const WATCH_MS = 1_000;
const PROGRESS_MS = 5_000;

export async function fire(
  t: Scope,
  settings: FireSettings,
  progress: (text: string) => void = () => {},
): Promise<FireReport> {
  const { clients: number, seconds, seed, leeway } = settings;
  const chance = seeded(seed);
  const world = await startWorld(t, { REFRESH_REUSE_LEEWAY: leeway });
  const network = await startFaultProxy(t, {
    upstreams: () => world.ports,
    faults: faultsFor(settings),
    seed: seed + 1,
  });
  const report = { heard: {} as Record<string, number>, kills: 0, postgresCrashes: 0, redisWipes: 0, longestWaitMs: 0 };
  const heard = (what: string) => {
    report.heard[what] = (report.heard[what] ?? 0) + 1;
  };
  const logins = await logIn(world, number);
  progress(`${number} clients have logged in; seed ${seed}`);
  const clients = logins.map((login, i) =>
    (i % 2 === 0 ? keepToTheRule : useTheLibrary)({
      url: network.url,
      login,
      chance: seeded(seed + 2 + i),
      offMs: settings.offMs,
      heard,
    }),
  );

  const start = Date.now();
  const happened = () => ({
    network: network.counts,
    superseded: world.logged('"refresh_superseded"').length,
    ...report,
  });
  // On a slow machine it takes longer until everything has happened.
  let complete = false;
  const isBurning = () => {
    const left = start + seconds * 1000 - Date.now();
    return left > 0 || (left > -PATIENCE_MS && !complete);
  };
  const lost = new Map<Client, string>();

  async function keepRefreshing(client: Client, pauses: Chance) {
    try {
      while (isBurning()) {
        await sleep(pauses.between(...settings.pauseMs));
        report.longestWaitMs = Math.max(report.longestWaitMs, await client.refresh());
      }
    } catch (error) {
      lost.set(client, error instanceof Error ? error.message : String(error));
    }
  }

  /** Trouble of one kind, again and again; each time it is over before the next of its kind begins. */
  async function keepHappening(pause: readonly [number, number], trouble: () => Promise<void>) {
    for (;;) {
      await sleep(chance.between(...pause));
      if (!isBurning()) return;
      await trouble();
    }
  }

  const watcher = setInterval(() => {
    complete = missingFrom(happened()).length === 0;
  }, WATCH_MS);
  const ticker = setInterval(() => {
    const { kills, postgresCrashes, redisWipes } = report;
    const elapsed = Math.round((Date.now() - start) / 1000);
    progress(
      `${elapsed} s: ${network.counts.requests} requests, ${kills} kills, ${postgresCrashes} crashes of PostgreSQL, ` +
        `${redisWipes} wipes of Redis, ${lost.size} clients lost`,
    );
  }, PROGRESS_MS);
  // The last refresh of each client may go on into the calm.
  const refreshing = Promise.all(clients.map((client, i) => keepRefreshing(client, seeded(seed + 2 + number + i))));
  try {
    await Promise.all([
      keepHappening(KILL_MS, async () => {
        report.kills++;
        await world.killService(Math.floor(chance.between(0, world.services.length)));
      }),
      keepHappening(CRASH_MS, async () => {
        report.postgresCrashes++;
        await world.crashPostgres();
      }),
      keepHappening(WIPE_MS, async () => {
        report.redisWipes++;
        await world.wipeRedis();
      }),
    ]);
    await world.allReady();
    network.calm();
    await refreshing;
  } finally {
    clearInterval(watcher);
    clearInterval(ticker);
  }
  progress('it is calm again; comparing the clients with the database');
  // As it is now: the judgement makes requests too.
  const burned = structuredClone({ settings, versions: world.versions, ...happened() });
  return { ...burned, ...(await judge(world, clients, lost)) };
}

type Happened = Pick<FireReport, 'network' | 'heard' | 'superseded' | 'kills' | 'postgresCrashes' | 'redisWipes'>;

/** What never happened in a fire: nothing is proved about it. */
export function missingFrom({ network, heard, superseded, kills, postgresCrashes, redisWipes }: Happened): string[] {
  const expected = ['200 rotated', '200 replayed', '200 concurrent', '503 store_unavailable', 'no answer'];
  const happened = { ...network, ...Object.fromEntries(expected.map((what) => [what, heard[what] ?? 0])) };
  return Object.entries({ ...happened, superseded, kills, postgresCrashes, redisWipes })
    .filter(([, times]) => times === 0)
    .map(([what]) => what);
}

/** Each client is a user of its own. */
async function logIn(world: World, number: number) {
  const logins: { session_id: string; refresh_token: string }[] = [];
  for (let first = 0; first < number; first += LOGINS_AT_ONCE) {
    const batch = Array.from({ length: Math.min(LOGINS_AT_ONCE, number - first) }, async (_, i) => {
      const service = world.services[i % world.services.length];
      if (service === undefined) throw new Error('no service');
      const email = `client-${first + i}@example.com`;
      await service.register(email);
      return service.login(email);
    });
    logins.push(...(await Promise.all(batch)));
  }
  return logins;
}
