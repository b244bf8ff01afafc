import type { AuditSeal, ChainLink } from '../domain/audit-chain.js';
import type { AuditRecord } from '../domain/audit-record.js';

/** Events up to an id, and the transactions that may still add one to them. */
export interface SealMark {
  upTo: string;
  /** Of which server that is said: what another one says of its transactions has nothing to do with them. */
  server: string;
  writers: readonly string[];
}

/** Makes the seal of a batch that comes after `before`; `now` is by the store's clock. */
export type MakeSeal = (before: ChainLink, events: readonly AuditRecord[], now: Date) => AuditSeal | null;

export type Sealing =
  | { outcome: 'sealed'; seal: AuditSeal }
  /** All up to the mark has been sealed. */
  | { outcome: 'nothing' }
  /** One of the mark's writers is still at it. */
  | { outcome: 'waiting' }
  /** Another node is sealing. */
  | { outcome: 'busy' }
  /** The server is another one: the mark says nothing any more. */
  | { outcome: 'void' };

export interface AuditSeals {
  /** Of what has been stored until now, about `limit` events of it; null where everything is sealed. */
  mark(limit: number): Promise<SealMark | null>;
  /**
   * Seals the next batch up to the mark, at most `limit` events, when none of its writers is left: then no event can
   * appear any more among those that are there.
   */
  seal(mark: SealMark, limit: number, make: MakeSeal): Promise<Sealing>;
  /** How many are not sealed, counted up to `limit`, and for how long the oldest has been there, seconds. */
  backlog(limit: number): Promise<{ events: number; oldestS: number }>;

  // For verification.

  /** Where what is left begins; null where nothing has been removed. */
  beginning(): Promise<ChainLink | null>;
  /** By sequence. */
  after(sequence: number, limit: number): Promise<AuditSeal[]>;
  /** By id: those after one, and up to another. */
  events(after: string, upTo: string, limit: number): Promise<AuditRecord[]>;
  /**
   * Removes about `limit` events, whole batches from the beginning that were sealed before `before` and have been for
   * `keptS` by the store's clock, and that every enabled webhook has been through; an event tells of it. Null, with nothing removed, while another node is at it.
   */
  expire(before: Date, keptS: number, limit: number): Promise<number | null>;
}
