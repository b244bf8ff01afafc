/**
 * KEKs from a folder: one file each, `<id>.kek`, one line of base64url that stands for 32 bytes. Ids sort by time; the
 * last is the newest. The folder is 0700 and the files 0600, or nothing is read: whoever can read a KEK and a dump of the
 * database can sign anything.
 */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fromBase64url, toBase64url } from '../../domain/base64url.js';
import type { Instant } from '../../domain/types.js';
import { type Kek, KekProblem, type KekSource } from '../../ports/kek-source.js';
import type { Random } from '../../ports/random.js';

const KEK_BYTES = 32;
const SUFFIX = '.kek';
const ID = /^[A-Za-z0-9._-]{1,64}$/;

const quoted = (path: string) => `'${path.replaceAll("'", `'\\''`)}'`;

function refuseLax(path: string, allowed: number, command: string): void {
  // Windows has no such modes: every file looks like 0666 there.
  if (process.platform === 'win32') return;
  const { mode } = statSync(path);
  if ((mode & 0o777 & ~allowed) === 0) return;
  throw new KekProblem(
    `${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}, so others can reach the key-encryption keys; mend it with: ${command} ${quoted(path)}`,
  );
}

function readKek(folder: string, file: string): Kek {
  const path = join(folder, file);
  const id = file.slice(0, -SUFFIX.length);
  if (!ID.test(id))
    throw new KekProblem(`${path}: the name of a KEK is 1 to 64 letters, digits, dots, dashes and underscores`);
  refuseLax(path, 0o600, 'chmod 600');
  const key = fromBase64url(readFileSync(path, 'utf8').trim());
  if (key?.length !== KEK_BYTES)
    throw new KekProblem(`${path} does not hold one line of base64url that stands for 32 bytes`);
  // In memory of its own: it is there for as long as the process.
  return { id, key: new Uint8Array(key) };
}

const listKeks = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((file) => file.endsWith(SUFFIX) && !file.startsWith('.'))
        .sort()
    : [];

export const hasKek = (folder: string): boolean => listKeks(folder).length > 0;

/**
 * Throws KekProblem. Looks into the folder again for a KEK that is not known, since it may have been put there, and for
 * the newest: nothing is sealed under one whose file is gone.
 */
export function readKeks(folder: string): KekSource {
  const known = new Map<string, Kek>();
  const read = (): Kek => {
    const keks = readFolder(folder);
    for (const kek of keks) known.set(kek.id, kek);
    return keks.at(-1) as Kek;
  };
  read();
  const look = (id: string): Kek | null => {
    try {
      read();
    } catch {
      // What is wrong with the folder now does not concern the KEKs that were read from it.
    }
    return known.get(id) ?? null;
  };
  return { newest: read, find: (id) => known.get(id) ?? look(id) };
}

function readFolder(folder: string): Kek[] {
  const files = listKeks(folder);
  if (files.length === 0) throw new KekProblem(`there is no KEK in ${folder}; make one with: keyturn keys new-kek`);
  refuseLax(folder, 0o700, 'chmod 700');
  return files.map((file) => readKek(folder, file));
}

/** Makes the folder if need be and a new KEK in it, and gives the file's path. Never overwrites one. */
export function makeKek(folder: string, at: Instant, random: Random): string {
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 });
  else if (lstatSync(folder).isDirectory()) refuseLax(folder, 0o700, 'chmod 700');
  const id = new Date(at).toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
  const path = join(folder, `${id}${SUFFIX}`);
  // Linked when whole: nobody reads half of it, and a process that is killed here leaves none.
  const aside = join(folder, `.${id}.${process.pid}`);
  writeFileSync(aside, `${toBase64url(random.bytes(KEK_BYTES))}\n`, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(aside, path);
  } finally {
    unlinkSync(aside);
  }
  return path;
}
