/** Key-encryption keys. Several may be present: the newest seals, all open. */
export interface Kek {
  id: string;
  /** 32 bytes. */
  key: Uint8Array;
}

/** Something an operator has to mend; the message says how. */
export class KekProblem extends Error {
  override readonly name = 'KekProblem';
}

export interface KekSource {
  /** The one that seals. Throws KekProblem when there is none that may be used now. */
  newest(): Kek;
  /** Null when the KEK is not there. */
  find(id: string): Kek | null;
}
