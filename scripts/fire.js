// The proof under fire, at full size: see docs/fire.md. Progress goes to stderr, the result to stdout.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt, root } from './build.js';
import { keep, list, machine, run, today } from './measured.js';

const HELP = `Honest clients refresh through a bad network while services are killed, PostgreSQL crashes and Redis is wiped.

  npm run test:fire -- [options]

  --clients N   how many clients, default 200
  --seconds N   for how long, default 60
  --seed N      of the faults and of the clients' habits, default: drawn
  --write       put the result into docs/fire.md
  --help        this text

Needs the binaries of PostgreSQL and Redis. Ends with 1 when a client was logged out, or a rotation lost or doubled.

Example: npm run test:fire -- --clients 50 --seconds 20 --seed 7
`;
/**
 * A parallel request without a key is safe within the leeway alone, and on a busy machine several crashes in a row may
 * last longer than the default of 10 s. A phone that is off is off for longer than the leeway.
 */
const HABITS = { pauseMs: [500, 1500], leeway: '30s', offMs: 31_000 };
const MAX_SEED = 2 ** 31;

function readOptions() {
  const number = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = { clients: number, seconds: number, seed: number, write: flag, help: flag };
  const { values } = parseArgs({ options });
  const integer = (name, fallback, most) => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`--${name}: expected 1 to ${most}`);
    return value;
  };
  return {
    ...values,
    clients: integer('clients', 200, 1000),
    seconds: integer('seconds', 60, 3600),
    seed: integer('seed', 1 + Math.floor(Math.random() * (MAX_SEED - 1)), MAX_SEED),
  };
}

function tableOf(report) {
  const { requests, ...faults } = report.network;
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { clients, seconds, seed, pauseMs, leeway, offMs } = report.settings;
  const rows = {
    date: today(),
    versions: `Keyturn ${version}, Node.js ${process.versions.node}, PostgreSQL ${report.versions.postgres}, Redis ${report.versions.redis}`,
    machine: machine(),
    settings: `${clients} clients, ${seconds} s, seed ${seed}, pauses of ${pauseMs.join(' to ')} ms, leeway ${leeway}, phones off for ${offMs / 1000} s`,
    'requests on the network': requests,
    'faults injected': list(faults),
    'copies that came two to four rotations late': report.superseded,
    'services killed': report.kills,
    'crashes of PostgreSQL': report.postgresCrashes,
    'wipes of Redis': report.redisWipes,
    'what the clients heard': list(report.heard),
    'longest wait for a token': `${(report.longestWaitMs / 1000).toFixed(1)} s`,
    rotations: report.rotations,
    '**clients logged out**': `**${report.loggedOut}**`,
    '**clients without the current token**': `**${report.withoutCurrentToken}**`,
    '**rotations lost**': `**${report.lostGenerations}**`,
    '**rotations doubled**': `**${report.doubledGenerations}**`,
    '**clients that could not go on afterwards**': `**${report.stuckAfterwards}**`,
  };
  const lines = Object.entries(rows).map(([name, value]) => `| ${name} | ${value} |`);
  return ['|   |   |', '| - | - |', ...lines].join('\n');
}

async function main(scope) {
  let options;
  try {
    options = readOptions();
  } catch ({ message }) {
    process.stderr.write(`${message}; see --help\n`);
    return 2;
  }
  const { clients, seconds, seed, ...flags } = options;
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  ensureBuilt();
  const { fire, missingFrom } = await import('../dist/test/system/fire/fire.js');
  const settings = { clients, seconds, seed, ...HABITS };
  const report = await fire(scope, settings, (text) => process.stderr.write(`${text}\n`));
  const table = tableOf(report);
  process.stdout.write(`${table}\n`);
  for (const finding of report.findings) process.stdout.write(`\n${finding}\n`);
  const missing = missingFrom(report);
  if (!report.heard['late 200 replayed']) missing.push('a retry after the leeway');
  if (missing.length > 0)
    process.stdout.write(`\nnever happened, so nothing is proved about it: ${missing.join(', ')}\n`);
  if (flags.write) keep('fire.md', 'result', table);
  return report.findings.length + missing.length > 0 ? 1 : 0;
}

await run(main);
