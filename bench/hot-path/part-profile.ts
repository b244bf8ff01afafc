/** Where the microseconds of a refresh, and of a gateway's check, go. */
import { temporaryFolder } from '../../test/support/process.js';
import { type LoadResult, load } from '../http-load.js';
import { count } from '../measurement.js';
import { areaOf, functionOf } from './areas.js';
import type { Bench, Part, Table } from './bench.js';
import { get, refreshes, repeated, type Workload } from './chain.js';
import { type Ground, register, startGround } from './ground.js';
import { login } from './part-check.js';
import { type ByThread, microsByThread, microsOf } from './processor.js';
import { PROFILED, type Share, type Stack, sharesOf, stacksOf } from './stacks.js';
import { keyturn, spread, store } from './stored.js';

const STORED = 10_000;
const QUICK_STORED = 1_000;
const SHOWN_FUNCTIONS = 30;

/** Microseconds for one operation. */
interface Profiled extends ByThread {
  operations: number;
  rate: number;
  database: number;
  areas: Share[];
  functions: Share[];
}

async function profile(
  ground: Ground,
  { scope, settings }: Bench,
  url: string,
  prepare: (port: number) => Promise<Workload>,
): Promise<Profiled> {
  const { connections, seconds, warmUp } = settings;
  async function run<T>(execArgv: string[], work: (pid: number, loaded: () => Promise<LoadResult>) => Promise<T>) {
    const { pid, port, stop } = await ground.startService(url, { execArgv });
    const workload = await prepare(port);
    await load({ ...workload.begin(connections), connections, seconds: warmUp });
    const result = await work(pid, () => load({ ...workload.begin(connections), connections, seconds }));
    await stop();
    return result;
  }

  const plain = await run([], async (pid, loaded) => {
    const [before, database] = [microsByThread(pid), microsOf(ground.database.pid)];
    const { latencies, rate } = await loaded();
    const [after, databaseAfter] = [microsByThread(pid), microsOf(ground.database.pid)];
    const each = (micros: number) => micros / latencies.length;
    return {
      ...{ operations: latencies.length, rate },
      main: each(after.main - before.main),
      libuv: each(after.libuv - before.libuv),
      others: each(after.others - before.others),
      database: each(databaseAfter - database),
    };
  });
  // What looking costs is not counted: it only says how the main thread's time is divided.
  const stacks: Stack[] = await run(PROFILED, (pid, loaded) => stacksOf(pid, temporaryFolder(scope), loaded));
  return {
    ...plain,
    areas: sharesOf(stacks, areaOf),
    functions: sharesOf(stacks, functionOf).slice(0, SHOWN_FUNCTIONS),
  };
}

function tablesOf(what: string, profiled: Profiled, unit: number): Table[] {
  const { areas, functions, main, libuv, others, database } = profiled;
  const all = main + libuv + others + database;
  const cells = (name: string, micros: number) => [
    name,
    micros.toFixed(1),
    `${((100 * micros) / all).toFixed(1)} %`,
    (micros / unit).toFixed(2),
  ];
  return [
    {
      columns: [what, 'µs', 'share', 'in signatures'],
      rows: [
        ...areas.map(({ name, share }) => cells(name, main * share)),
        cells('libuv’s threads: the signature', libuv),
        cells('V8’s threads: garbage collection, compilation', others),
        cells('PostgreSQL', database),
        cells('all', all),
      ],
    },
    {
      columns: [`${what}: functions of JavaScript, with the native code they call`, 'µs'],
      rows: functions.map(({ name, share }) => [`\`${name}\``, (main * share).toFixed(1)]),
    },
  ];
}

export const profiles: Part = {
  about: 'where the microseconds of a refresh and of a check go (needs perf)',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const first = await ground.startService(url);
    await register(first.port);
    await first.stop();
    const stored = bench.settings.quick ? QUICK_STORED : STORED;
    await store(url, stored, bench.say);
    const unit = await ground.unit();

    bench.say('refresh');
    let turn = 0;
    const refreshing = await profile(ground, bench, url, async (port) =>
      refreshes(keyturn(port), spread(stored, stored / 2, turn++)),
    );
    bench.say('check');
    const checking = await profile(ground, bench, url, async (port) =>
      repeated(port, [get('/v1/authorize?audience=api', { authorization: `Bearer ${await login(port)}` })]),
    );
    const rates = [
      ['refreshes', count(refreshing.rate)],
      ['checks', count(checking.rate)],
    ];
    return {
      tables: [
        { columns: ['', 'a second'], rows: rates },
        ...tablesOf('refresh', refreshing, unit),
        ...tablesOf('check', checking, unit),
      ],
      charts: {},
      data: { unit, refreshing, checking },
    };
  },
};
