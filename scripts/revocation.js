// The proof that what is acknowledged is enforced, at full size: see docs/revocation-proof.md. Progress goes to stderr, the
// result to stdout.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt, root } from './build.js';
import { keep, list, machine, run, today } from './measured.js';

const HELP = `Sessions are revoked in every way there is, on three nodes, and the tokens tried on all of them at once, while Redis is
paused, flushed, restarted empty, failed over, and cut off from a node.

  npm run test:revocation -- [options]

  --tries N     how many revocations, default 10000: two thirds on one Redis, one third under Sentinels
  --seconds N   for how long at most, each of the two, default 900
  --seed N      of what is done and what is hurt, default: drawn
  --mutation W  takes a rule out of every node, which must be found: does-not-wait, needs-no-lease
  --write       put the result into docs/revocation-proof.md
  --help        this text

Needs the binaries of PostgreSQL and Redis. Ends with 1 when a token was accepted that an acknowledged revocation concerns,
or refused that none does.

Example: npm run test:revocation -- --tries 500 --seed 7
`;
const MAX_SEED = 2 ** 31;
const MUTATIONS = ['does not wait', 'needs no lease'];

function readOptions() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = { tries: text, seconds: text, seed: text, mutation: text, write: flag, help: flag };
  const { values } = parseArgs({ options });
  const integer = (name, fallback, most) => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`--${name}: expected 1 to ${most}`);
    return value;
  };
  const mutation = values.mutation?.replaceAll('-', ' ') ?? null;
  if (mutation !== null && !MUTATIONS.includes(mutation)) throw new Error(`--mutation: expected one of ${MUTATIONS}`);
  return {
    ...values,
    mutation,
    tries: integer('tries', 10_000, 1_000_000),
    seconds: integer('seconds', 900, 36_000),
    seed: integer('seed', 1 + Math.floor(Math.random() * (MAX_SEED - 1)), MAX_SEED),
  };
}

const total = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);

function tableOf(reports) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const row = (name, cell) => `| ${name} | ${reports.map(cell).join(' | ')} |`;
  return [
    row('', ({ settings }) => (settings.topology === 'sentinels' ? 'under Sentinels' : 'one Redis')),
    row('-', () => '-'),
    row('date, version', () => `${today()}, Keyturn ${version}, Node.js ${process.versions.node}`),
    row('machine', () => machine()),
    row('seed', ({ settings }) => settings.seed),
    row('time', ({ seconds }) => `${seconds} s`),
    row('what was hurt', ({ troubles }) => list(troubles)),
    row('revocations tried', ({ tries }) => tries),
    row('acknowledged', ({ acknowledged }) => `${total(acknowledged)}: ${list(acknowledged)}`),
    row('not acknowledged', ({ unacknowledged }) => list(unacknowledged)),
    row('slowest acknowledgement', ({ slowestMs }) => `${(slowestMs / 1000).toFixed(1)} s`),
    row('live tokens, checked', ({ liveTokens }) => list(liveTokens)),
    row('checks after the acknowledgement', ({ checksAfter }) => list(checksAfter)),
    row('requests after the acknowledgement', ({ requestsAfter }) => list(requestsAfter)),
    row('checks of them later', ({ laterChecks }) => list(laterChecks)),
    row('**accepted after it, or refused without reason**', ({ findings }) => `**${findings.length}**`),
  ].join('\n');
}

async function main(scope) {
  let options;
  try {
    options = readOptions();
  } catch ({ message }) {
    process.stderr.write(`${message}; see --help\n`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  ensureBuilt();
  const { startPostgres } = await import('../dist/test/support/servers.js');
  const { migratedDatabase } = await import('../dist/test/support/databases.js');
  const { missingFrom, prepare } = await import('../dist/test/system/revocation/proof.js');
  const postgres = await startPostgres();
  if (postgres === null) throw new Error('the binaries of PostgreSQL are needed');
  scope.teardown(() => postgres.stop());
  const { seed, seconds, mutation } = options;
  const reports = [];
  const missing = [];
  for (const [topology, share] of [
    ['one server', 2],
    ['sentinels', 1],
  ]) {
    const database = await migratedDatabase(postgres.url, `keyturn_proof_${reports.length}`);
    const settings = { topology, tries: Math.ceil((options.tries * share) / 3), seconds, seed, database };
    const { world, run } = await prepare(scope, settings);
    if (mutation !== null) await Promise.all(world.nodes.map((node) => node.ask({ what: 'break', mutation })));
    const begun = Date.now();
    const report = await run({}, (text) => process.stderr.write(`${topology}: ${text}\n`));
    reports.push({ ...report, seconds: Math.round((Date.now() - begun) / 1000) });
    missing.push(...missingFrom(report).map((what) => `${topology}: ${what}`));
    await world.stop();
  }
  const table = tableOf(reports);
  process.stdout.write(`${table}\n`);
  const findings = reports.flatMap((report) => report.findings);
  for (const finding of findings.slice(0, 50)) process.stdout.write(`\n${finding}\n`);
  if (missing.length > 0)
    process.stdout.write(`\nnever happened, so nothing is proved about it: ${missing.join(', ')}\n`);
  if (options.write) keep('revocation-proof.md', 'result', table);
  return findings.length + missing.length > 0 ? 1 : 0;
}

await run(main);
