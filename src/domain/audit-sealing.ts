/** Audit events are sealed in the background, in batches: whoever adds one looks at no other and waits for nobody. */
import type { AuditSeals, SealMark } from '../ports/audit-seals.js';
import type { Metrics } from '../ports/metrics.js';
import { type AuditSeal, sealOf } from './audit-chain.js';

/** Events; to hash as many takes some 5 ms of this process. */
const BATCH = 500;
/** Events that a mark looks ahead over, and a run seals at most: more in 5 seconds than a service can add. */
const AHEAD = 100_000;
/** More are only "at least so many". */
const MAX_COUNTED = 100_000;

export interface AuditSealing {
  /** Seals what can be, unless another node is at it. Resolves to the new seals. */
  run(): Promise<AuditSeal[]>;
}

export function createAuditSealing(seals: AuditSeals, metrics: Metrics): AuditSealing {
  /** Kept until its writers are done: a new one would have new writers, for ever on a busy service. */
  let mark: SealMark | null = null;

  async function seal(): Promise<AuditSeal[]> {
    const done: AuditSeal[] = [];
    mark ??= await seals.mark(AHEAD);
    while (mark !== null) {
      const sealing = await seals.seal(mark, BATCH, sealOf);
      if (sealing.outcome === 'sealed') {
        done.push(sealing.seal);
        if (sealing.seal.lastId === mark.upTo) mark = null;
      } else if (sealing.outcome === 'nothing' || sealing.outcome === 'void') mark = null;
      else break;
    }
    return done;
  }

  return {
    async run() {
      try {
        return await seal();
      } finally {
        const { events, oldestS } = await seals.backlog(MAX_COUNTED);
        metrics.auditUnsealed(events, oldestS);
      }
    },
  };
}
