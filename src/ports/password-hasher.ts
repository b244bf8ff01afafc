/** All reject with Refusal `overloaded` when too many callers are waiting already, or the caller would wait for too long. */
export interface PasswordHasher {
  hash(password: string): Promise<string>;
  /** `rehash` says that the hash was made at another cost than the one configured now. */
  verify(password: string, hash: string): Promise<{ ok: boolean; rehash: boolean }>;
  /** Takes as long as `verify` does on a hash of the configured cost, and never says yes. */
  verifyNothing(password: string): Promise<void>;
  /** For how long somebody who comes now will wait for his turn, by how long the last ones took. Milliseconds. */
  expectedWait(): number;
  /** Longer than this nobody is to wait. Milliseconds. */
  longestWait: number;
}
