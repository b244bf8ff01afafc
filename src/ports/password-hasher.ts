/** Both reject with Refusal `overloaded` when too many callers are waiting already. */
export interface PasswordHasher {
  hash(password: string): Promise<string>;
  /** `rehash` says that the hash was made at another cost than the one configured now. */
  verify(password: string, hash: string): Promise<{ ok: boolean; rehash: boolean }>;
  /** Takes as long as `verify` does on a hash of the configured cost, and never says yes. */
  verifyNothing(password: string): Promise<void>;
}
