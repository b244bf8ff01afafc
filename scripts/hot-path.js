// Runs the parts of `npm run bench -- hot-path`. A part that fails is said to have failed, and the next one runs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './build.js';
import { keep, machine, today } from './measured.js';

const { isPlaced, markdown, parts } = await import('../dist/bench/hot-path/index.js');

// V8 goes on compiling for some ten thousand requests.
const FULL = { rounds: 3, seconds: 10, warmUp: 30, connections: 32, quick: false };
/** Only shows that everything runs. */
const QUICK = { rounds: 1, seconds: 2, warmUp: 1, connections: 32, quick: true };
/** No part takes longer, seeding of ten million sessions included. */
const PART_MINUTES = 60;

const help = `Measures the hot path part by part, with its own PostgreSQL and Redis, all of it on loopback. Needs Linux; PostgreSQL and
redis-server; two cores and taskset, or nothing is placed; pgbench, and the registry of npm once for what Keyturn is compared
with (without them these rows fail); perf for the profile. The ten million sessions take some 20 GB of disk,
in TMPDIR. All parts together take more than an hour.

  npm run bench -- hot-path [options]

${Object.entries(parts)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}

  --only a,b        these parts alone
  --quick           everything once and briefly, with few sessions: to see that it runs
  --rounds N        how often each row is measured: ${FULL.rounds}, quick ${QUICK.rounds}
  --seconds N       how long each time: ${FULL.seconds}, quick ${QUICK.seconds}
  --warm-up N       for how many seconds each row is run before: ${FULL.warmUp}, quick ${QUICK.warmUp}
  --connections N   ${FULL.connections}, where they are not what is varied
  --write           put tables and charts into docs/performance.md and docs/performance/; not what is quick
  --help            this text

Tables go to stdout, progress to stderr. The exit code is 1 where a part or a row has failed, or there were errors.

Example: npm run bench -- hot-path --only refresh,login --rounds 5
`;

function readSettings() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = {
    only: text,
    rounds: text,
    seconds: text,
    'warm-up': text,
    connections: text,
    quick: flag,
    write: flag,
    help: flag,
  };
  const { values } = parseArgs({ args: process.argv.slice(3), options });
  const settings = { ...(values.quick ? QUICK : FULL) };
  for (const name of ['rounds', 'seconds', 'warm-up', 'connections']) {
    if (values[name] === undefined) continue;
    const number = Number(values[name]);
    settings[name === 'warm-up' ? 'warmUp' : name] = number;
    if (!Number.isInteger(number) || number < 1) throw new Error(`--${name}: expected a whole number from 1`);
  }
  const only = values.only?.split(',') ?? Object.keys(parts);
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined) throw new Error(`--only: there is no part ${unknown}`);
  if (values.quick && values.write) throw new Error('--write: what is quick is not to be kept');
  return { settings, only, write: values.write, asked: values.help };
}

const version = (command, ...args) => {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
};

/** With what it was measured, for those who compare. */
async function circumstances(settings) {
  const { findBinary } = await import('../dist/test/support/servers.js');
  const postgres = findBinary('postgres');
  const redis = findBinary('redis-server');
  return {
    date: today(),
    machine: machine(),
    kernel: version('uname', '-sr'),
    node: process.versions.node,
    openssl: process.versions.openssl,
    postgres: postgres && version(postgres, '--version'),
    redis: redis && version(redis, '--version').split(' sha')[0],
    placed: isPlaced()
      ? 'one core for what is measured, with PostgreSQL and Redis; another for the load'
      : 'on any core',
    settings,
  };
}

/** Of a part: undoes what it has noted, latest first, whatever of it fails. What is noted later is undone at once. */
function createScope() {
  const undoing = [];
  let undone;
  const attempt = async (work) => work();
  const undoAll = async () => {
    for (let work = undoing.pop(); work !== undefined; work = undoing.pop()) await attempt(work).catch(() => {});
  };
  return {
    teardown: (work) => (undone ? attempt(work).catch(() => {}) : undoing.push(work)),
    /** Whoever asks for it waits for all of it, though somebody else has begun. */
    undo() {
      undone ??= undoAll();
      return undone;
    },
  };
}

async function runPart(name, settings, run) {
  const begun = Date.now();
  const say = (text) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${name}: ${text}\n`);
  const fail = (text) => {
    run.failures.push(`${name}: ${text}`);
    say(`FAILED: ${text}`);
  };
  const scope = createScope();
  run.scope = scope;
  say('begins');
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${PART_MINUTES} min`)), PART_MINUTES * 60_000);
  });
  try {
    return await Promise.race([parts[name].measure({ scope, settings, say, fail }), late]);
  } finally {
    clearTimeout(timer);
    await scope.undo();
    say(`over after ${Math.round((Date.now() - begun) / 1000)} s`);
  }
}

const titleOf = (svg) => /<title>(.*?)<\/title>/.exec(svg)?.[1] ?? '';

function write(name, about, report) {
  const folder = join(root, 'docs/performance');
  mkdirSync(folder, { recursive: true });
  for (const [file, svg] of Object.entries(report.charts)) writeFileSync(join(folder, file), svg);
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ ...about, data: report.data }, null, 2)}\n`);
  const { date, machine, node, postgres, placed, settings } = about;
  const { rounds, seconds, warmUp } = settings;
  const how = report.how ?? `medians of ${rounds} rounds of ${seconds} s, after ${warmUp} s of warm-up`;
  const line = `${date}; ${machine}; ${placed}; Node.js ${node}, ${postgres}; ${how}.`;
  const images = Object.entries(report.charts).map(([file, svg]) => `![${titleOf(svg)}](performance/${file})`);
  keep('performance.md', name, [...images, ...report.tables.map(markdown), line].join('\n\n'));
}

/** Resolves to the exit code: 1 where a part has failed. */
export async function main(scope) {
  let given;
  try {
    given = readSettings();
  } catch (error) {
    process.stderr.write(`${error.message}\nThere is npm run bench -- hot-path --help\n`);
    return 2;
  }
  const { settings, only, write: isKept, asked } = given;
  if (asked) {
    process.stdout.write(help);
    return 0;
  }
  if (process.platform !== 'linux')
    throw new Error('whose time of the processor it was is read from /proc: this needs Linux');
  const run = { failures: [], scope: null, isOver: false };
  scope.teardown(() => {
    run.isOver = true;
    return run.scope?.undo();
  });
  const about = await circumstances(settings);
  process.stdout.write(`${JSON.stringify(about, null, 2)}\n`);
  for (const name of only) {
    if (run.isOver) break;
    try {
      const report = await runPart(name, settings, run);
      process.stdout.write(`\n## ${name}\n\n${report.tables.map(markdown).join('\n\n')}\n`);
      if (isKept) write(name, about, report);
    } catch (error) {
      run.failures.push(`${name}: ${error.message}`);
      process.stdout.write(`\n## ${name}\n\nFAILED: ${error.stack ?? error}\n`);
    }
  }
  for (const failure of run.failures) process.stderr.write(`FAILED: ${failure}\n`);
  return run.failures.length === 0 ? 0 : 1;
}
