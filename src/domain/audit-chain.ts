/**
 * How audit events are hashed, and batches of them chained: pure functions, by which batches are sealed and verified.
 * docs/audit.md says the same for those who verify with a program of their own.
 */
import { createHash } from 'node:crypto';
import type { AuditRecord } from './audit-record.js';

/** Of the canonical form. A new member of AuditRecord is a new form; the old one goes on being verified. */
export const FORM = 1;
export const HASH_BYTES = 32;
/** What the first batch is chained to. */
export const NO_HASH = '0'.repeat(2 * HASH_BYTES);

/** A batch of events, sealed. Hashes are in hex. */
export interface AuditSeal {
  /** 1, 2, 3 … without a gap. */
  sequence: number;
  form: number;
  firstId: string;
  lastId: string;
  count: number;
  /** HASH_BYTES for each event, in the order of the ids. */
  eventHashes: Uint8Array;
  previousHash: string;
  hash: string;
  /** RFC 3339, UTC, milliseconds. */
  sealedAt: string;
}

/** Up to where a chain is known to be whole. */
export interface ChainLink {
  sequence: number;
  hash: string;
  lastId: string;
}

/** Before the least id that a row can have: nobody puts an event in front of the first one. */
export const CHAIN_START: ChainLink = { sequence: 0, hash: NO_HASH, lastId: `${-(2n ** 63n)}` };

/** The JSON Canonicalization Scheme (RFC 8785): members in the order of their names, no blanks. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`;
}

const sha256 = (data: string | Uint8Array): Buffer => createHash('sha256').update(data).digest();

export const eventHash = (event: AuditRecord): Buffer => sha256(canonicalJson(event));

export const sealHash = (seal: Omit<AuditSeal, 'hash'>): string =>
  sha256(
    canonicalJson({
      seal: seal.sequence,
      form: seal.form,
      first_id: seal.firstId,
      last_id: seal.lastId,
      count: seal.count,
      events: sha256(seal.eventHashes).toString('hex'),
      previous: seal.previousHash,
      sealed_at: seal.sealedAt,
    }),
  ).toString('hex');

/** Null where there is nothing to seal. */
export function sealOf(before: ChainLink, events: readonly AuditRecord[], sealedAt: Date): AuditSeal | null {
  const [first, last] = [events[0], events.at(-1)];
  if (first === undefined || last === undefined) return null;
  const seal = {
    sequence: before.sequence + 1,
    form: FORM,
    firstId: first.id,
    lastId: last.id,
    count: events.length,
    eventHashes: Buffer.concat(events.map(eventHash)),
    previousHash: before.hash,
    sealedAt: sealedAt.toISOString(),
  };
  return { ...seal, hash: sealHash(seal) };
}

export const linkOf = ({ sequence, hash, lastId }: AuditSeal): ChainLink => ({ sequence, hash, lastId });

export type ChainProblem =
  /** It is said to have been removed with all before it, and something of that is there. */
  | { problem: 'not_removed'; seal: number }
  /** Its number is not there: taken out, or cut off at the beginning. */
  | { problem: 'seal_missing'; seal: number }
  /** It is not what its hash was made of, or not chained to the one before. */
  | { problem: 'seal_changed'; seal: number }
  /** Made by a later version. */
  | { problem: 'form_unknown'; seal: number }
  | { problem: 'event_changed'; seal: number; event: string }
  /** `event` came next in what is there; null: the last one of the batch is missing. */
  | { problem: 'event_missing'; seal: number; event: string | null }
  | { problem: 'event_inserted'; seal: number; event: string };

/** The first thing amiss with a batch; `events` are those with ids after those of `before`, up to the last one of the seal. */
export function problemOf(before: ChainLink, seal: AuditSeal, events: readonly AuditRecord[]): ChainProblem | null {
  const { sequence, hash, ...hashed } = seal;
  if (sequence !== before.sequence + 1) return { problem: 'seal_missing', seal: before.sequence + 1 };
  if (seal.form !== FORM) return { problem: 'form_unknown', seal: sequence };
  const isWhole = seal.eventHashes.length === HASH_BYTES * seal.count && hash === sealHash({ sequence, ...hashed });
  if (!isWhole || seal.previousHash !== before.hash) return { problem: 'seal_changed', seal: sequence };
  return problemOfEvents(seal, events);
}

function problemOfEvents({ sequence, count, eventHashes }: AuditSeal, events: readonly AuditRecord[]) {
  const sealed = Array.from({ length: count }, (_, i) =>
    Buffer.from(eventHashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)).toString('hex'),
  );
  const found = events.map((event) => eventHash(event).toString('hex'));
  const at = Array.from({ length: Math.max(count, found.length) }).findIndex((_, i) => sealed[i] !== found[i]);
  if (at === -1) return null;
  const event = events[at]?.id;
  const where = { seal: sequence };
  if (event === undefined) return { problem: 'event_missing' as const, ...where, event: null };
  // What follows tells whether one too many is here, or one too few, or another one.
  if (sealed.indexOf(found[at] ?? '', at) !== -1) return { problem: 'event_missing' as const, ...where, event };
  if (at >= count || found.indexOf(sealed[at] ?? '', at) !== -1)
    return { problem: 'event_inserted' as const, ...where, event };
  return { problem: 'event_changed' as const, ...where, event };
}
