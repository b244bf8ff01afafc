/** The audit trail, for those who look into it: searched page by page, and verified step by step. It is not changed here. */
import type { AuditSeals } from '../ports/audit-seals.js';
import type { AuditTrail } from '../ports/audit-trail.js';
import { type AuditSeal, CHAIN_START, type ChainLink, type ChainProblem, linkOf, problemOf } from './audit-chain.js';

/** Seals; with BATCH events each at most, a step takes some 100 ms. */
const STEP = 20;
/** More are only "at least so many". */
const MAX_COUNTED = 100_000;

export interface VerificationStep {
  /** Where the chain begins, in the first step: what was before has been removed by retention. */
  beginning: ChainLink | null;
  /** Those that are whole, in their order. */
  seals: Omit<AuditSeal, 'eventHashes'>[];
  /** The first thing amiss: then there is no next step. */
  problem: ChainProblem | null;
  /** At the end: events that are not sealed yet. */
  unsealed: number | null;
  /** Where the next step begins; null when there is none. */
  next: ChainLink | null;
}

export interface AuditAdministration extends AuditTrail {
  /** Verifies some of the chain, from the beginning where `from` is null. */
  verify(from: ChainLink | null): Promise<VerificationStep>;
}

export function createAuditAdministration(trail: AuditTrail, seals: AuditSeals): AuditAdministration {
  async function problemWith(before: ChainLink, seal: AuditSeal): Promise<ChainProblem | null> {
    // One more than there should be, to see the one that is too many.
    const events = await seals.events(before.lastId, seal.lastId, seal.count + 1);
    return problemOf(before, seal, events);
  }

  /** Whoever wants a part of the chain passed over has to take it away. */
  async function notRemoved({ sequence, lastId }: ChainLink): Promise<ChainProblem | null> {
    const [seal] = await seals.after(0, 1);
    const [event] = await seals.events(CHAIN_START.lastId, lastId, 1);
    const isLeft = event !== undefined || (seal !== undefined && seal.sequence <= sequence);
    return isLeft ? { problem: 'not_removed', seal: sequence } : null;
  }

  return {
    search: trail.search,
    async verify(from) {
      const beginning = from === null ? await seals.beginning() : null;
      let link = from ?? beginning ?? CHAIN_START;
      const step: VerificationStep = { beginning, seals: [], problem: null, unsealed: null, next: null };
      const left = beginning && (await notRemoved(beginning));
      if (left !== null) return { ...step, problem: left };
      const found = await seals.after(link.sequence, STEP);
      for (const seal of found) {
        const problem = await problemWith(link, seal);
        if (problem !== null) {
          // Retention may have caught up with it meanwhile.
          const now = await seals.beginning();
          if (now === null || now.sequence <= link.sequence) return { ...step, problem };
          const left = await notRemoved(now);
          return left === null ? { ...step, next: now } : { ...step, problem };
        }
        const { eventHashes: _, ...shown } = seal;
        step.seals.push(shown);
        link = linkOf(seal);
      }
      if (found.length > 0) return { ...step, next: link };
      return { ...step, unsealed: (await seals.backlog(MAX_COUNTED)).events };
    },
  };
}
