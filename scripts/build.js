// Generates the Prisma client and compiles with tsc. `ensureBuilt` does so only when the build is missing or older
// than what it was made from.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const stamp = join(dist, '.built');
const generated = join(root, 'src/adapters/postgres/generated');

/** Written when the client is whole. Generating anew would be a change of `src`, and `npm run dev` starts again on those. */
const generatedStamp = join(generated, '.made');
const generatedFrom = ['package-lock.json', 'prisma/schema.prisma'];
const sources = ['package.json', 'package-lock.json', 'tsconfig.json', 'prisma/schema.prisma', 'src', 'test', 'bench'];

function newest(path) {
  if (path === generated || !existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  // A folder's own time moves when a file in it is added or removed.
  const names = readdirSync(path).filter((name) => name !== 'node_modules');
  return Math.max(stat.mtimeMs, ...names.map((name) => newest(join(path, name))));
}

function isOlder(made, than) {
  if (!existsSync(made)) return true;
  const { mtimeMs } = statSync(made);
  return than.some((source) => newest(join(root, source)) > mtimeMs);
}

export const isStale = () => isOlder(stamp, sources);

/** What compiles, and what is compiled imports. With `NODE_ENV=production` npm leaves these out. */
function requireTools() {
  const missing = ['prisma', 'tap', 'typescript'].filter((name) => !existsSync(join(root, 'node_modules', name)));
  if (missing.length === 0) return;
  process.stderr.write(`the build needs ${missing.join(', ')}: run npm ci --include=dev, and then this again\n`);
  process.exit(1);
}

function run(what, modulePath, args, env = {}) {
  const result = spawnSync(process.execPath, [join(root, 'node_modules', modulePath), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}\n${what} failed\n`);
  process.exit(result.status ?? 1);
}

function generateClient() {
  if (!isOlder(generatedStamp, generatedFrom)) return;
  run('prisma generate', 'prisma/build/index.js', ['generate'], {
    CHECKPOINT_DISABLE: '1',
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    // The CLI wants an engine binary to exist before it does anything. Generating never runs it, so any executable
    // will do, and nothing has to be downloaded.
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  });
  writeFileSync(generatedStamp, '');
}

/** A build that was killed could not tidy up. */
function discardAbandoned() {
  for (const name of readdirSync(root)) {
    const pid = /^dist\.(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) rmSync(join(root, name), { recursive: true, force: true });
  }
}

function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

export function build() {
  requireTools();
  generateClient();
  discardAbandoned();
  // Into a folder of its own, then swapped, so that a build that fails or is interrupted leaves the last good one.
  const fresh = join(root, `dist.${process.pid}`);
  const discard = () => rmSync(fresh, { recursive: true, force: true });
  discard();
  // Not `finally`: a step that fails ends the process, which runs no more of this function.
  process.once('exit', discard);
  run('tsc', 'typescript/bin/tsc', ['--outDir', fresh]);
  mkdirSync(fresh, { recursive: true });
  writeFileSync(join(fresh, '.built'), '');
  rmSync(dist, { recursive: true, force: true });
  renameSync(fresh, dist);
}

export function ensureBuilt() {
  if (!isStale()) return;
  if (process.stderr.isTTY || !existsSync(dist)) process.stderr.write('building…\n');
  build();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
