/** The session in its storage: read and changed by one after the other, and who wants to know hears when it ends. */
import { type Ended, isLive, isSame, type Live, parseStored, type SessionEndReason, type Stored } from './record.js';
import type { AuthStorage } from './storage.js';

export interface Vault {
  /** What was last seen, without a look; undefined before the first one. */
  seen(): Stored | null | undefined;
  load(): Promise<Stored | null>;
  /** Stores a session, whatever was there. */
  begin(session: Live): Promise<void>;
  /**
   * Stores `next`, unless what is stored is no longer `expected`: then there was a logout, a login or another tab's answer
   * meanwhile, nothing is stored, and the answer is false.
   */
  replace(expected: Stored, next: Live | Ended | null): Promise<boolean>;
  onEnd(listener: (reason: SessionEndReason) => void): () => void;
}

export function openVault(storage: AuthStorage, name: string): Vault {
  const listeners = new Set<(reason: SessionEndReason) => void>();
  let seen: Stored | null | undefined;
  let lastTurn: Promise<unknown> = Promise.resolve();

  /** What was read before a change is never taken for what came after it. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(work);
    lastTurn = turn.catch(() => {});
    return turn;
  }

  function note(stored: Stored | null): Stored | null {
    const ended = isLive(seen) && !isLive(stored);
    seen = stored;
    // A listener that throws is no reason to stop in the middle.
    if (ended) for (const listener of listeners) queueMicrotask(() => listener(stored?.ended ?? 'logout'));
    return stored;
  }

  const read = async () => note(parseStored(await storage.get(name)));

  async function write(next: Stored | null): Promise<void> {
    await (next === null ? storage.delete(name) : storage.set(name, JSON.stringify(next)));
    note(next);
  }

  const vault: Vault = {
    seen: () => seen,
    load: () => inTurn(read),
    begin: (session) => inTurn(() => write(session)),
    replace: (expected, next) =>
      inTurn(async () => {
        const isExpected = isSame(await read(), expected);
        if (isExpected) await write(next);
        return isExpected;
      }),
    onEnd(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  storage.watch?.(name, () => void vault.load().catch(() => {}));
  return vault;
}
