type Awaitable<T> = T | Promise<T>;

/**
 * Where a client keeps its session: one string under one name, and under another what the device is known by at its next
 * login. The first holds the refresh token, so choose a place that other apps cannot read. A name has letters, digits, `.`, `-` and `_` only, as keychains want it.
 *
 * A `set` is all or nothing, and should survive the death of the process once it has resolved. A storage that may lose the
 * last seconds, as `localStorage` does, will do: the value before has the key with which its token gets its answer again.
 * A rejection is passed on to the caller.
 */
export interface AuthStorage {
  /** The string that was stored last, or null. */
  get(name: string): Awaitable<string | null | undefined>;
  set(name: string, value: string): Awaitable<unknown>;
  delete(name: string): Awaitable<unknown>;
  /**
   * Runs `work` while nobody else does under this name. For a storage that several tabs or processes share; without it
   * each refreshes for itself, with the same token and the same key. It may give up waiting and run `work` all the same.
   */
  lock?<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Calls `listener` when somebody else has changed the value; returns a function that ends it. */
  watch?(name: string, listener: () => void): () => void;
}

/** Forgets when the process ends or the page is left. */
export function memoryStorage(): AuthStorage {
  const values = new Map<string, string>();
  return {
    get: (name) => values.get(name),
    set: (name, value) => values.set(name, value),
    delete: (name) => values.delete(name),
  };
}
