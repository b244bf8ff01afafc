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

const sources = ['package.json', 'package-lock.json', 'tsconfig.json', 'prisma/schema.prisma', 'src', 'test', 'bench'];

function newest(path) {
  if (path === generated || !existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  // A folder's own time moves when a file in it is added or removed.
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

export function isStale() {
  if (!existsSync(stamp)) return true;
  const built = statSync(stamp).mtimeMs;
  return sources.some((source) => newest(join(root, source)) > built);
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

export function build() {
  run('prisma generate', 'prisma/build/index.js', ['generate'], {
    CHECKPOINT_DISABLE: '1',
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    // The CLI wants an engine binary to exist before it does anything. Generating never runs it, so any executable
    // will do, and nothing has to be downloaded.
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  });
  // Into a folder of its own, then swapped, so that a build that fails or is interrupted leaves the last good one.
  const fresh = join(root, `dist.${process.pid}`);
  const removeFresh = () => rmSync(fresh, { recursive: true, force: true });
  removeFresh();
  // A step that fails ends the process, which no `finally` would see.
  process.once('exit', removeFresh);
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
