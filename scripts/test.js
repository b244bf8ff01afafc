// Builds, starts what the tests need, runs the emitted test files, and ends with `N passed, N failed, N skipped`.
// Arguments narrow down the files: `npm test -- refresh` runs those whose path has "refresh" in it; `--all` adds the proofs
// that take long.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ensureBuilt, root } from './build.js';
import { runFiles } from './tap-files.js';

const FILE_TIMEOUT_S = 240;
/** Files whose time is told at the end. */
const SHOWN_SLOWEST = 5;
/** Most files wait now and then, for a process or for a clock: one more than there are processors keeps these busy. */
const JOBS = availableParallelism() + 1;
/**
 * Proofs that take minutes together, most of it for processes that start. They are run with `--all`, with CI=true, and when
 * an argument names them.
 */
const PROOFS = [
  'docs/runbooks',
  'system/cli',
  'system/feed/',
  'system/fire/',
  'system/gateway-strictness',
  'system/haproxy',
  'system/herd',
  'system/hsm',
  'system/hung-device',
  'system/key-rotation',
  'system/keys-command',
  'system/nothing-at-rest',
  'system/refresh-crashes',
  'system/revocation/',
  'system/unopenable-keys',
];
/** Those that take longest are started first, or all would wait for one of them in the end. */
const LONG = ['system/', 'docs/', 'refresh-model', 'bad-requests', 'cli/', 'contract/'];

ensureBuilt();
const { startPostgres, startRedis } = await import('../dist/test/support/servers.js');
const { prepareTemplates } = await import('../dist/test/support/databases.js');

function rankOf(name) {
  const rank = LONG.findIndex((part) => name.includes(part));
  return rank === -1 ? LONG.length : rank;
}

const wanted = process.argv.slice(2).filter((argument) => argument !== '--all');
const isWhole = process.env.CI === 'true' || process.argv.includes('--all');
const isProof = (name) => PROOFS.some((part) => name.includes(part));
const tests = join(root, 'dist/test');
const found = readdirSync(tests, { recursive: true })
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => relative(root, join(tests, name)))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part.replace(/\.ts$/, '.js'))));
const isLeftOut = (name) => wanted.length === 0 && !isWhole && isProof(name);
const files = found.filter((name) => !isLeftOut(name)).sort((a, b) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1));
if (files.length === 0) {
  process.stderr.write(`no test file matches ${wanted.join(', ')}\n`);
  process.exit(2);
}

const started = [];
const folder = mkdtempSync(join(tmpdir(), 'keyturn-test-'));
let template;

async function cleanUp() {
  await Promise.all(started.splice(0).map((server) => server.stop()));
  for (const path of [folder, template]) if (path) rmSync(path, { recursive: true, force: true });
}
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    interrupted.abort();
    void cleanUp().finally(() => process.exit(1));
  });
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const skipReasons = new Map();
const durations = [];

function report({ file, ms, passed, skips, failures, problem, stderr }) {
  const name = file.replace('dist/test/', '');
  durations.push([name, ms]);
  counts.passed += passed;
  counts.failed += failures.length + (problem === null ? 0 : 1);
  counts.skipped += skips.length;
  for (const reason of skips) skipReasons.set(reason, (skipReasons.get(reason) ?? 0) + 1);
  for (const { name: what, diag } of failures)
    process.stdout.write(`FAILED ${name} > ${what}\n${JSON.stringify(diag, null, 2)}\n`);
  if (problem !== null) process.stdout.write(`FAILED ${name}: ${problem}\n`);
  if (failures.length > 0 || problem !== null) process.stdout.write(stderr);
  else if (process.stdout.isTTY) process.stdout.write(`${name}: ${passed} passed, ${(ms / 1000).toFixed(1)} s\n`);
}

/** tap makes its test class from the plugins in package.json. */
function buildTap() {
  // It is written into node_modules, and gone when these are installed anew.
  const stamp = join(root, 'node_modules/.tap-built');
  if (existsSync(stamp)) return;
  const tap = join(root, 'node_modules/tap/dist/esm/run.mjs');
  execFileSync(process.execPath, [tap, 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(stamp, '');
}

let failed = false;
try {
  buildTap();
  const env = { ...process.env, KEYTURN_TEST_LOGS: join(folder, 'logs') };
  mkdirSync(env.KEYTURN_TEST_LOGS);
  for (const [name, start] of [
    ['TEST_DATABASE_URL', startPostgres],
    ['TEST_REDIS_URL', startRedis],
  ]) {
    if (env[name]) continue;
    const server = await start();
    if (server === null) continue;
    started.push(server);
    env[name] = server.url;
  }
  template = (await prepareTemplates(env.TEST_DATABASE_URL)).folder;
  env.KEYTURN_TEST_TEMPLATE = template;

  const isLast = (name) => name.includes('/after/');
  const options = { jobs: JOBS, env, cwd: root, timeoutS: FILE_TIMEOUT_S, stop: interrupted.signal };
  await runFiles(
    files.filter((name) => !isLast(name)),
    options,
    report,
  );
  await runFiles(files.filter(isLast), options, report);
} catch (error) {
  failed = true;
  process.stderr.write(`${error.stack}\n`);
} finally {
  await cleanUp();
}

durations.sort(([, a], [, b]) => b - a);
const slowest = durations
  .slice(0, SHOWN_SLOWEST)
  .map(([name, ms]) => `${name.replace('dist/test/', '')} ${(ms / 1000).toFixed(0)} s`);
process.stdout.write(`slowest: ${slowest.join(', ')}\n`);
const leftOut = found.length - files.length;
if (leftOut > 0) process.stdout.write(`left out: ${leftOut} files of proofs that take long; npm test -- --all\n`);
for (const [reason, times] of skipReasons) process.stdout.write(`skipped ${times}: ${reason}\n`);
if (process.env.CI === 'true' && counts.skipped > 0) {
  process.stdout.write('with CI=true nothing may be skipped\n');
  failed = true;
}
if (failed && counts.failed === 0) counts.failed = 1;
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exit(counts.failed > 0 ? 1 : 0);
