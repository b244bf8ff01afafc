/**
 * One mmdb file, held in memory, and read anew when it has changed. maxmind's own `watchForUpdates` would do that, but takes
 * half a file for the whole one and ends the process over a damaged one: its listener's rejection is nobody's.
 */
import { stat } from 'node:fs/promises';
import ipaddr from 'ipaddr.js';
import maxmind, { type Reader } from 'maxmind';

/** What a file holds is no concern of the reader. */
type AnyReader = Reader<Record<string, never>>;

export interface AddressDatabase {
  /** Null for addresses that are not public, and for those of which nothing is known. Never throws. */
  recordOf(ip: string): unknown;
  /** Null where nothing changed, or the same is still wrong as before. */
  lookAgain(): Promise<'replaced' | { problem: string } | null>;
}

/** Smallest tree, and what comes between the tree and the data. */
const SEPARATOR_BYTES = 16;

/** Changes with each writing of the file, and with another that takes its name. */
async function stateOf(path: string): Promise<string> {
  const { ino, size, mtimeMs, ctimeMs } = await stat(path);
  return [ino, size, mtimeMs, ctimeMs].join(' ');
}

function whatIsWrong(error: NodeJS.ErrnoException): string {
  // What the system says of a file has a call in it; what the reader says of its content has not.
  return error.syscall === undefined ? 'is not a database in the mmdb format' : `cannot be read (${error.code})`;
}

async function read(path: string): Promise<AnyReader> {
  const { size } = await stat(path);
  const reader = await maxmind.open<Record<string, never>>(path);
  const { searchTreeSize, ipVersion } = reader.metadata;
  // The metadata are at the end: where the middle is missing they may be there, and the tree not.
  const isWhole = searchTreeSize > 0 && searchTreeSize + SEPARATOR_BYTES < size && [4, 6].includes(ipVersion);
  if (!isWhole) throw new Error('the tree is larger than the file');
  return reader;
}

/** Rejects with what is wrong with the file, for the operator who named it. */
export async function openDatabase(path: string): Promise<AddressDatabase> {
  let lookedAt = '';
  let inUse = '';
  let hasProblem = false;
  let reader: AnyReader;
  const load = async () => {
    // Before it is read: what is written meanwhile shows at the next look.
    lookedAt = await stateOf(path);
    reader = await read(path);
    inUse = lookedAt;
    hasProblem = false;
    return reader;
  };
  reader = await load().catch((error) => {
    throw new Error(whatIsWrong(error), { cause: error });
  });
  return {
    recordOf(ip) {
      if (!ipaddr.isValid(ip)) return null;
      // IPv4 in IPv6 dress is looked up as IPv4.
      const address = ipaddr.process(ip);
      // Databases have been seen that put private networks into the country of whoever wrote about them.
      if (address.range() !== 'unicast') return null;
      // The reader would take the first 32 bits for an IPv4 address.
      if (reader.metadata.ipVersion === 4 && address.kind() === 'ipv6') return null;
      try {
        return reader.get(address.toString());
      } catch {
        // A place is a help to the reader: a damaged record is no reason to refuse a login.
        return null;
      }
    },
    async lookAgain() {
      try {
        const state = await stateOf(path);
        if (state === inUse) hasProblem = false;
        if (state === lookedAt) return null;
        await load();
        return 'replaced';
      } catch (error) {
        const isNews = !hasProblem;
        hasProblem = true;
        return isNews ? { problem: whatIsWrong(error as NodeJS.ErrnoException) } : null;
      }
    },
  };
}
