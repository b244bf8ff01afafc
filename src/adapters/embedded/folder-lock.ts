/**
 * One process a data folder. The embedded database does not check: two processes that open one folder destroy each
 * other's data. The lock is the kernel's, on an open file, so it is gone when the process dies, however it dies.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { tryLock, unlock } from 'fs-native-extensions';

export class FolderInUse extends Error {
  override readonly name = 'FolderInUse';
}

export interface FolderLock {
  release(): void;
}

/** Makes the folder (mode 0700) if it is not there. Throws FolderInUse, having touched nothing in it. */
export function lockFolder(folder: string): FolderLock {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'lock');
  const fd = openSync(path, 'a+', 0o600);
  if (!tryLock(fd)) {
    const holder = readFileSync(path, 'utf8').trim();
    closeSync(fd);
    throw new FolderInUse(
      `${folder} is in use by ${holder === '' ? 'another process' : `process ${holder}`}: stop it first, or set DATA_DIR to another folder`,
    );
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return {
    release() {
      ftruncateSync(fd);
      unlock(fd);
      closeSync(fd);
    },
  };
}
