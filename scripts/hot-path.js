// Runs the parts of `npm run bench -- hot-path`. A part that fails is said to have failed, and the next one runs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './build.js';
import { keep, machine, today } from './measured.js';

const { isPlaced, markdown, parts } = await import('../dist/bench/hot-path/index.js');

// V8 goes on compiling for some ten thousand requests.
const FULL = { rounds: 3, seconds: 10, warmUp: 15, connections: 32, quick: false };
/** Only shows that everything runs. */
const QUICK = { rounds: 1, seconds: 2, warmUp: 1, connections: 32, quick: true };
/** No part takes longer, seeding of ten million sessions included. */
const PART_MINUTES = 60;

const help = `Measures the hot path part by part, with its own PostgreSQL and Redis.

  npm run bench -- hot-path [options]

${Object.entries(parts)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}

  --only a,b        these parts alone
  --quick           everything once and briefly, with few sessions: to see that it runs
  --rounds N        ${FULL.rounds} unless it is quick; --seconds N for each run, --connections N
  --write           put tables and charts into docs/performance.md and docs/performance/
`;

function readSettings() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = { only: text, rounds: text, seconds: text, connections: text, quick: flag, write: flag, help: flag };
  const { values } = parseArgs({ args: process.argv.slice(3), options });
  const settings = { ...(values.quick ? QUICK : FULL) };
  for (const name of ['rounds', 'seconds', 'connections']) {
    if (values[name] === undefined) continue;
    settings[name] = Number(values[name]);
    if (!(settings[name] >= 1)) throw new Error(`--${name}: expected a number from 1`);
  }
  const only = values.only?.split(',') ?? Object.keys(parts);
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined) throw new Error(`--only: there is no part ${unknown}`);
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
    placed: isPlaced() ? 'one core for what is measured, with PostgreSQL and Redis; another for the load' : 'any core',
    settings,
  };
}

/** Undoes what the part has noted, latest first, whatever of it fails. */
async function undo(undoing) {
  for (const work of undoing.splice(0).reverse()) await Promise.resolve(work()).catch(() => {});
}

async function runPart(name, settings, teardowns) {
  const begun = Date.now();
  const say = (text) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${name}: ${text}\n`);
  const undoing = [];
  teardowns.push(() => undo(undoing));
  say('begins');
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${PART_MINUTES} min`)), PART_MINUTES * 60_000);
  });
  try {
    const bench = { scope: { teardown: (work) => undoing.push(work) }, settings, say };
    return await Promise.race([parts[name].measure(bench), late]);
  } finally {
    clearTimeout(timer);
    await undo(undoing);
    say(`over after ${Math.round((Date.now() - begun) / 1000)} s`);
  }
}

function write(name, about, report) {
  const folder = join(root, 'docs/performance');
  mkdirSync(folder, { recursive: true });
  for (const [file, svg] of Object.entries(report.charts)) writeFileSync(join(folder, file), svg);
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ ...about, data: report.data }, null, 2)}\n`);
  const { date, machine, node, postgres, settings } = about;
  const { rounds, seconds } = settings;
  const line = `${date}; ${machine}; Node.js ${node}, ${postgres}; medians of ${rounds} rounds of ${seconds} s.`;
  keep('performance.md', name, [...report.tables.map(markdown), line].join('\n\n'));
}

/** Resolves to the exit code: 1 where a part has failed. */
export async function main(scope) {
  const { settings, only, write: isKept, asked } = readSettings();
  if (asked) {
    process.stdout.write(help);
    return 0;
  }
  const teardowns = [];
  scope.teardown(() => undo(teardowns));
  const about = await circumstances(settings);
  process.stdout.write(`${JSON.stringify(about, null, 2)}\n`);
  let failed = 0;
  for (const name of only) {
    try {
      const report = await runPart(name, settings, teardowns);
      process.stdout.write(`\n## ${name}\n\n${report.tables.map(markdown).join('\n\n')}\n`);
      if (isKept) write(name, about, report);
    } catch (error) {
      failed++;
      process.stdout.write(`\n## ${name}\n\nFAILED: ${error.stack ?? error}\n`);
    }
  }
  return failed === 0 ? 0 : 1;
}
