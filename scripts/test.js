// Builds, starts what the tests need, runs tap on the emitted JavaScript, and ends with `N passed, N failed, N skipped`.
// Arguments narrow down the files: `npm test -- refresh` runs those whose path has "refresh" in it.
import { execFileSync, spawn } from 'node:child_process';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Parser } from 'tap-parser';
import { ensureBuilt, root } from './build.js';

const FILE_TIMEOUT_S = 240;
/** Files whose time is told at the end. */
const SHOWN_SLOWEST = 5;

ensureBuilt();
const { startPostgres, startRedis } = await import('../dist/test/support/servers.js');
const { prepareTemplates } = await import('../dist/test/support/databases.js');

const wanted = process.argv.slice(2);
const tests = join(root, 'dist/test');
const files = readdirSync(tests, { recursive: true })
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => relative(root, join(tests, name)))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part.replace(/\.ts$/, '.js'))))
  .sort();
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
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => cleanUp().finally(() => process.exit(1)));
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const skipReasons = new Map();
const durations = [];

/** A file that ended badly may have no assertion that says so. */
const crashed = ({ diag }) => Boolean(diag && (diag.signal || diag.exitCode > 1 || diag.error || diag.timeout));

/** tap's reporters draw for a terminal; elsewhere only what failed is worth printing. */
function report({ fullname, name, diag }) {
  process.stdout.write(`FAILED ${fullname} > ${name}\n${JSON.stringify(diag, null, 2)}\n`);
}

function count(file) {
  return new Promise((resolve, reject) => {
    const parser = new Parser();
    const listen = (p) => {
      p.on('child', listen);
      p.on('assert', (result) => {
        // A subtest's own line sums up lines that are counted already, unless it was skipped as a whole.
        const summary = p === parser || /^Subtest:/.test(result.name) || result.closingTestPoint;
        if (result.skip) {
          counts.skipped++;
          const reason = typeof result.skip === 'string' ? result.skip : result.name;
          skipReasons.set(reason, (skipReasons.get(reason) ?? 0) + 1);
        } else if (result.ok) {
          if (!summary) counts.passed++;
        } else {
          if (!summary) counts.failed++;
          if (!process.stdout.isTTY && (!summary || crashed(result))) report(result);
        }
      });
    };
    listen(parser);
    parser.on('assert', ({ name, time }) => durations.push([name, time ?? 0]));
    parser.on('complete', resolve);
    createReadStream(file).on('error', reject).pipe(parser);
  });
}

const tap = join(root, 'node_modules/tap/dist/esm/run.mjs');

/** tap makes its test class from the plugins in package.json; left to the first run, that run fails. */
function buildTap() {
  // It is written into node_modules, and gone when these are installed anew.
  const stamp = join(root, 'node_modules/.tap-built');
  if (existsSync(stamp)) return;
  execFileSync(process.execPath, [tap, 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(stamp, '');
}

async function runTap(list, output, env) {
  if (list.length === 0) return 0;
  const args = [
    tap,
    '--disable-coverage',
    '--allow-empty-coverage',
    `--jobs=${Math.min(4, availableParallelism())}`,
    `--timeout=${FILE_TIMEOUT_S}`,
    `--reporter=${process.stdout.isTTY ? 'base' : 'silent'}`,
    `--output-file=${output}`,
    ...list,
  ];
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', env });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  await count(output);
  return code ?? 1;
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
  for (const [index, list] of [files.filter((name) => !isLast(name)), files.filter(isLast)].entries()) {
    if ((await runTap(list, join(folder, `${index}.tap`), env)) !== 0) failed = true;
  }
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
for (const [reason, times] of skipReasons) process.stdout.write(`skipped ${times}: ${reason}\n`);
if (process.env.CI === 'true' && counts.skipped > 0) {
  process.stdout.write('with CI=true nothing may be skipped\n');
  failed = true;
}
if (failed && counts.failed === 0) counts.failed = 1;
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exit(failed ? 1 : 0);
