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

/**
 * Asked at every opening of a key, so it answers from memory. A source that is reached over a network, such as a cloud's
 * secret manager, reads its KEKs before it is handed over. For an id that it does not know it may look again behind its
 * answer: the key ring asks anew at its next poll.
 */
export interface KekSource {
  /** The one that seals. Throws KekProblem when there is none that may be used now. */
  newest(): Kek;
  /** Null when the KEK is not there, or not read yet. */
  find(id: string): Kek | null;
}
