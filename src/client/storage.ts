type Awaitable<T> = T | Promise<T>;

/**
 * Where a client keeps its session: one string under one name. It holds the refresh token, so choose a place that other
 * apps cannot read. A name has letters, digits, `.`, `-` and `_` only, as keychains want it.
 *
 * A `set` that has resolved must survive the death of the process, and is all or nothing: the client sends a request
 * only after the key that belongs to it is stored. A rejection is passed on to the caller, and nothing is sent.
 */
export interface AuthStorage {
  /** The string that was stored last, or null. */
  get(name: string): Awaitable<string | null | undefined>;
  set(name: string, value: string): Awaitable<unknown>;
  delete(name: string): Awaitable<unknown>;
  /**
   * Runs `work` while nobody else does under this name. For a storage that several tabs or processes share; without it
   * each keeps to its own refreshes, which is all that a storage of one process needs. It may give up waiting and run
   * `work` all the same: by then whoever holds it has stored the key, and both send the same.
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
