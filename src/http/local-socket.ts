/** Where the command line finds a service that keeps its database in a folder: a Unix socket in that folder. */
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { App } from './typed.js';

/** sockaddr_un.sun_path without its last byte, 0: on Linux, and on macOS and the BSDs. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

const folderOf = (dataDir: string) => join(dataDir, 'run');

type Found = { path: string; problem: null } | { path: null; problem: string };

/** No path where it is too long, however it is written: the kernel would cut it off. */
export function findSocket(dataDir: string): Found {
  const path = resolve(folderOf(dataDir), 'keyturn.sock');
  const fitting = [path, relative('.', path)].find((spelling) => Buffer.byteLength(spelling) <= MAX_PATH_BYTES);
  if (fitting !== undefined) return { path: fitting, problem: null };
  const problem = `${path} is longer than the ${MAX_PATH_BYTES} bytes that the path of a Unix socket may have: set DATA_DIR to a shorter path, such as a symbolic link to the folder`;
  return { path: null, problem };
}

/** The caller holds the lock of the folder: a socket that is there was left by a process that was killed. */
export async function listenOnSocket(app: App, dataDir: string): Promise<void> {
  const { path, problem } = findSocket(dataDir);
  if (path === null) throw new Error(problem);
  const folder = folderOf(dataDir);
  // Nobody else gets to the socket, not even between its making and its mode.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  // A file system without modes, such as some network and Windows mounts, takes the call and does nothing.
  if ((statSync(folder).mode & 0o077) !== 0)
    throw new Error(`${folder} cannot be kept from others on this file system`);
  rmSync(path, { force: true });
  await app.listen({ path, listenTextResolver: () => 'listening for the command line' });
  chmodSync(path, 0o600);
}
