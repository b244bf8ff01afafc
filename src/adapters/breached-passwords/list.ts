/**
 * A file with a SHA-1 on each line, in ascending order, as the downloader of Pwned Passwords writes it (`HASH:COUNT`). It may
 * be of any size: it is searched where it lies, some thirty short reads for a thousand million passwords.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { BreachedPasswords } from '../../ports/breached-passwords.js';
import { hashIn, sha1 } from './sha1.js';

const HASH_LENGTH = 40;
/** A hash, a colon, a count and the end of the line, twice: wherever it begins, there is a whole line in it. */
const WINDOW_BYTES = 256;
/** Lines that are looked at to see in what order the list is. */
const SAMPLES = 64;

interface Line {
  hash: string;
  /** Where the line after it begins. */
  next: number;
}

/** The first whole line that begins at `from` or after it; null at the end of the file. */
async function lineAfter(file: FileHandle, from: number): Promise<Line | null> {
  // One byte earlier, so that a line that begins at `from` itself is seen to begin.
  const start = Math.max(from - 1, 0);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(WINDOW_BYTES), 0, WINDOW_BYTES, start);
  const text = buffer.toString('latin1', 0, bytesRead);
  const begin = from === 0 ? 0 : text.indexOf('\n') + 1;
  if ((begin === 0 && from > 0) || begin >= text.length) return null;
  const end = text.indexOf('\n', begin);
  const line = text.slice(begin, end < 0 ? undefined : end);
  const hash = hashIn(line.replace(/:0(\r?)$/, ':1$1'));
  if (hash?.length !== HASH_LENGTH) throw new Error(`is not a list of SHA-1 in hexadecimal (at byte ${start + begin})`);
  return { hash, next: end < 0 ? start + text.length : start + end + 1 };
}

/** Such lists also come in the order of how often a password was seen, in which nothing would be found. */
async function isAscending(file: FileHandle, size: number): Promise<boolean> {
  let before = '';
  for (let i = 0; i < SAMPLES; i++) {
    const line = await lineAfter(file, Math.floor((size * i) / SAMPLES));
    if (line === null) break;
    if (line.hash < before) return false;
    before = line.hash;
  }
  return true;
}

async function find(file: FileHandle, size: number, hash: string): Promise<boolean> {
  // The line that is looked for begins in [low, high).
  let [low, high] = [0, size];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const line = await lineAfter(file, middle);
    if (line?.hash === hash) return true;
    if (line === null || line.hash > hash) high = middle;
    else low = line.next;
  }
  return false;
}

/** Rejects with what is wrong with the file, for the operator who named it. */
export async function openList(
  path: string,
  onProblem: (problem: string) => void,
): Promise<BreachedPasswords & { close(): Promise<void> }> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`cannot be read (${error.code})`);
  });
  try {
    const { size } = await file.stat();
    const first = await lineAfter(file, 0);
    if (first === null) throw new Error('is empty');
    const second = await lineAfter(file, first.next);
    if ((second !== null && second.hash < first.hash) || !(await isAscending(file, size)))
      throw new Error('is not in ascending order');
    return {
      async has(password) {
        try {
          return await find(file, size, sha1(password));
        } catch (error) {
          onProblem((error as Error).message);
          return false;
        }
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
