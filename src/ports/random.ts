export interface Random {
  /** Cryptographically secure. */
  bytes(length: number): Uint8Array;
}
