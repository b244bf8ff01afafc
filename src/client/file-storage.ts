/** Published as `keyturn/client/node`: a session in a file, for scripts and command lines. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthStorage } from './storage.js';

// Milliseconds.
const LOCK_WAIT_MS = 10_000;
const LOCK_POLL_MS = 20;
/** Longer than a refresh is tried: who holds a lock for so long has died with it. */
const LOCK_STALE_MS = 60_000;

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

/**
 * Keeps each value in a file of its own in `folder`, which is made if need be: readable by this user alone, replaced as a
 * whole, flushed to the disk. Processes that share the folder take turns with their refreshes.
 */
export function fileStorage(folder: string): AuthStorage {
  const pathOf = (name: string) => join(folder, `${name}.json`);

  async function takeLock(path: string): Promise<boolean> {
    // Not by the clock, which somebody may set back meanwhile.
    for (const deadline = performance.now() + LOCK_WAIT_MS; performance.now() < deadline; await sleep(LOCK_POLL_MS)) {
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await (await open(path, 'wx', 0o600)).close();
        return true;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
        const age = await stat(path).then(
          ({ mtimeMs }) => Date.now() - mtimeMs,
          () => 0,
        );
        if (age > LOCK_STALE_MS) await rm(path, { force: true });
      }
    }
    return false;
  }

  return {
    async get(name) {
      try {
        return await readFile(pathOf(name), 'utf8');
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return null;
        throw error;
      }
    },

    async set(name, value) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Containers that share a folder have the same process ids; and nobody can put a link where he cannot guess.
      const aside = `${pathOf(name)}.${randomUUID()}`;
      try {
        const file = await open(aside, 'wx', 0o600);
        try {
          await file.writeFile(value);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(aside, pathOf(name));
      } catch (error) {
        await rm(aside, { force: true });
        throw error;
      }
    },

    async delete(name) {
      await rm(pathOf(name), { force: true });
    },

    async lock(name, work) {
      const path = `${pathOf(name)}.lock`;
      const mine = await takeLock(path);
      try {
        return await work();
      } finally {
        if (mine) await unlink(path).catch(() => {});
      }
    },
  };
}
