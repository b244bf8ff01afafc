/** Where the microseconds of a refresh, and of a gateway's check, go. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../test/support/process.js';
import { load } from '../http-load.js';
import { count } from '../measurement.js';
import type { Bench, Part, Table } from './bench.js';
import { get, refreshes, repeated, type Workload } from './chain.js';
import { breakdown, type Classify, placeOf, type Share } from './cpu-profile.js';
import { type Ground, register, startGround } from './ground.js';
import { login } from './part-check.js';
import { type ByThread, leaveAlone, microsByThread, microsOf } from './processor.js';
import { keyturn, spread, store } from './stored.js';

const STORED = 10_000;
const SHOWN_FUNCTIONS = 30;

/** First that fits. */
const areas: readonly (readonly [RegExp, string])[] = [
  [/^pg|^pg-|^postgres-/, 'pg, the driver of PostgreSQL'],
  [/^@fastify\/cors/, 'CORS'],
  [/^@fastify\/rate-limit|^toad-cache/, 'limits: requests of an address'],
  [/^pino|^sonic-boom|^quick-format|^safe-stable|^src\/logger|^src\/http\/request-log/, 'log'],
  [/^prom-client|^src\/adapters\/prometheus|^src\/http\/request-metrics/, 'metrics'],
  [
    /^fast-json-stringify|^ajv|^@fastify\/ajv|^src\/http\/compile-when-used|^secure-json/,
    'schemas: requests checked, answers written',
  ],
  [/^src\/domain\/strict-json|^src\/http\/bodies/, 'strict JSON'],
  [/^fastify|^find-my-way|^avvio|^@fastify\/|^light-my|^fast-querystring|^reusify|^process-warning/, 'Fastify'],
  [
    /^src\/adapters\/node-crypto|^src\/domain\/access-token/,
    'access token: claims, and the signature’s way to its thread',
  ],
  [/^src\/domain\/refresh-token|^node:internal\/crypto/, 'HKDF, SHA-256, HMAC, random'],
  [/^src\/adapters\/postgres/, 'store'],
  [/^src\/adapters\/geo|^maxmind|^mmdb/, 'place of the caller'],
  [/^src\/http\/|^ipaddr/, 'routes, hooks and headers of ours'],
  [/^src\/domain\//, 'domain'],
  [/^src\//, 'the rest of ours'],
  [/^ioredis|^redis/, 'Redis'],
  [/^node:internal\/(async_hooks|process|timers|promise)|^node:timers/, 'promises, timers, async hooks'],
  [/^node:_http|^node:http|^node:internal\/http|^node:url|^node:internal\/url/, 'node:http'],
  [/^node:(net|internal\/stream|stream|events|buffer|internal\/buffer|internal\/tty)/, 'null'],
];

const classify: Classify = ({ functionName, url }) => {
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (functionName === '(program)') return 'native code: epoll, libuv, sockets';
  if (functionName === '(root)') return 'other';
  const place = placeOf(url);
  const area = areas.find(([pattern]) => pattern.test(place))?.[1];
  return area === undefined || area === 'null' ? null : area;
};

interface Profiled extends ByThread {
  operations: number;
  rate: number;
  database: number;
  path: string;
}

/** The profile is written when the process ends. */
async function profile(
  ground: Ground,
  { scope, settings }: Bench,
  url: string,
  prepare: (port: number) => Promise<Workload>,
): Promise<Profiled> {
  const folder = temporaryFolder(scope);
  const run = async (execArgv: string[], prepared = (_pid: number) => {}) => {
    const { pid, port, stop } = await ground.startService(url, { execArgv });
    const workload = await prepare(port);
    prepared(pid);
    const { connections } = settings;
    await load({ ...workload.begin(connections), connections, seconds: settings.warmUp });
    const [threads, database] = [microsByThread(pid), microsOf(ground.database.pid)];
    const { latencies, rate } = await load({ ...workload.begin(connections), connections, seconds: settings.seconds });
    const [after, databaseAfter] = [microsByThread(pid), microsOf(ground.database.pid)];
    await stop();
    const each = (micros: number) => micros / latencies.length;
    return {
      ...{ operations: latencies.length, rate },
      main: each(after.main - threads.main),
      libuv: each(after.libuv - threads.libuv),
      others: each(after.others - threads.others),
      database: each(databaseAfter - database),
    };
  };
  // What the profiler itself costs is not counted: it only says how the main thread's time is divided. It counts the time
  // for which the thread had to wait for the core, too: so it does not have to.
  const plain = await run([]);
  const profiler = ['--cpu-prof', '--cpu-prof-interval', '500', '--cpu-prof-dir', folder];
  await run(profiler, (pid) => leaveAlone(pid, [ground.database.pid]));
  const name = readdirSync(folder).find((file) => file.endsWith('.cpuprofile'));
  if (name === undefined) throw new Error('there is no profile');
  return { ...plain, path: join(folder, name) };
}

function tablesOf(what: string, profiled: Profiled, unit: number, seconds: number): { tables: Table[]; data: unknown } {
  const { areas, functions } = breakdown(profiled.path, seconds, classify);
  const total = (shares: readonly Share[]) => shares.reduce((sum, { micros }) => sum + micros, 0);
  const scale = profiled.main / total(areas);
  const rows: [string, number][] = [
    ...areas.map(({ name, micros }): [string, number] => [name, micros * scale]),
    ['libuv’s threads: the signature', profiled.libuv],
    ['V8’s threads: garbage collection, compilation', profiled.others],
    ['PostgreSQL', profiled.database],
  ];
  const all = rows.reduce((sum, [, micros]) => sum + micros, 0);
  const cells = (name: string, micros: number) => [
    name,
    micros.toFixed(1),
    `${((100 * micros) / all).toFixed(1)} %`,
    (micros / unit).toFixed(2),
  ];
  const columns = [what, 'µs', 'share', 'in signatures'];
  const top = functions.slice(0, SHOWN_FUNCTIONS);
  return {
    tables: [
      { columns, rows: [...rows.map(([name, micros]) => cells(name, micros)), cells('all', all)] },
      {
        columns: [`${what}: functions`, 'µs'],
        rows: top.map(({ name, micros }) => [`\`${name}\``, (micros * scale).toFixed(1)]),
      },
    ],
    data: { what, unit, ...profiled, areas, functions: top },
  };
}

export const profiles: Part = {
  about: 'where the microseconds of a refresh and of a check go',
  async measure(bench: Bench) {
    const ground = await startGround(bench.scope);
    const url = await ground.createDatabase('keyturn');
    const first = await ground.startService(url);
    await register(first.port);
    await first.stop();
    await store(url, bench.settings.quick ? 1_000 : STORED, bench.say);
    const stored = bench.settings.quick ? 1_000 : STORED;
    const unit = await ground.unit();

    bench.say('refresh');
    let run = 0;
    const refreshing = await profile(ground, bench, url, async (port) =>
      refreshes(keyturn(port), spread(stored, stored / 2, run++)),
    );
    bench.say('check');
    const checking = await profile(ground, bench, url, async (port) =>
      repeated(port, [get('/v1/authorize?audience=api', { authorization: `Bearer ${await login(port)}` })]),
    );
    const { seconds } = bench.settings;
    const ofRefresh = tablesOf('refresh', refreshing, unit, seconds);
    const ofCheck = tablesOf('check', checking, unit, seconds);
    return {
      tables: [
        {
          columns: ['', 'a second'],
          rows: [
            ['refreshes', count(refreshing.rate)],
            ['checks', count(checking.rate)],
          ],
        },
        ...ofRefresh.tables,
        ...ofCheck.tables,
      ],
      charts: {},
      data: [ofRefresh.data, ofCheck.data],
    };
  },
};
