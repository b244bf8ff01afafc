/** Where the microseconds of a refresh, and of a gateway's check, go. */
import type { LoadResult } from '../../http-load.js';
import { count } from '../../measurement.js';
import { areaOf, functionOf } from '../areas.js';
import type { Bench, Part, Table } from '../bench.js';
import { get, loadWithoutErrors, refreshes, repeated, type Workload } from '../chain.js';
import { EMAIL, type Ground, PASSWORD, register, startGround } from '../ground.js';
import { type ByThread, microsByThread, microsOf } from '../processor.js';
import { PROFILED, type Share, type Stack, sharesOf, stacksOf } from '../stacks.js';
import { keyturn, spread, store } from '../stored.js';

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
    await loadWithoutErrors(workload, connections, warmUp);
    const result = await work(pid, () => loadWithoutErrors(workload, connections, seconds));
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
  const stacks: Stack[] = await run(PROFILED, (pid, loaded) => stacksOf(pid, scope, loaded));
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

async function login(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: EMAIL, password: PASSWORD }),
  });
  if (answer.status !== 200) throw new Error(`cannot log in: ${answer.status} ${await answer.text()}`);
  const { access_token: token } = (await answer.json()) as { access_token: string };
  return token;
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
    const before = await ground.unit();

    bench.say('refresh');
    let turn = 0;
    const refreshing = await profile(ground, bench, url, async (port) =>
      refreshes(keyturn(port), spread(stored, stored / 2, turn++)),
    );
    bench.say('check');
    const checking = await profile(ground, bench, url, async (port) =>
      repeated(port, [get('/v1/authorize?audience=api', { authorization: `Bearer ${await login(port)}` })]),
    );
    const unit = (before + (await ground.unit())) / 2;
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
      how: `one run of ${bench.settings.seconds} s without perf, which the microseconds are of, and one with it, for the shares`,
      charts: {},
      data: { unit, refreshing, checking },
    };
  },
};
