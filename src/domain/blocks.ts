/** What the audit trail is told of blocks: that one began, and, when its time is over, that it ended. */
import type { AuditLog } from '../ports/audit-log.js';
import type { Clock } from '../ports/clock.js';
import type { Counted, Metrics } from '../ports/metrics.js';
import { auditEvent, byService } from './audit.js';
import { coalesced } from './coalesced.js';
import { type AuditEvent, type Caller, later, type UserId } from './types.js';

export interface Block {
  kind: Counted;
  /** A network; the hash of an e-mail; a device or a session. */
  name: string;
  seconds: number;
  /** Whose failure it was that began it. */
  caller: Caller;
  /** Whose account it is, where there is one. */
  userId?: string | undefined;
}

export interface Blocks {
  /** Nobody waits until it is written: that somebody may not guess any more does not depend on the database. */
  began(block: Block): void;
  /** Writes what has not been written yet, and whose time has come. Rejects when it cannot be written now. */
  tell(): Promise<void>;
}

/** More than these are only counted: an attack from everywhere at once must not fill the memory. */
const MAX_UNTOLD = 10_000;

const events = {
  address: ['address.blocked', 'address.unblocked'],
  account: ['account.blocked', 'account.unblocked'],
  device: ['account.blocked', 'account.unblocked'],
} as const satisfies Record<Counted, readonly [AuditEvent['event'], AuditEvent['event']]>;

export function createBlocks({
  audit,
  metrics,
  clock,
}: {
  audit: AuditLog;
  metrics: Pick<Metrics, 'blocked'>;
  clock: Clock;
}): Blocks {
  let untold: AuditEvent[] = [];

  const tell = coalesced(async () => {
    const now = clock.now();
    for (const event of untold.filter(({ at }) => at <= now)) {
      await audit.append(event);
      untold = untold.filter((other) => other !== event);
    }
  });

  return {
    began({ kind, name, seconds, caller, userId }) {
      metrics.blocked(kind);
      if (untold.length + 2 > MAX_UNTOLD) return;
      const at = clock.now();
      const [began, ended] = events[kind];
      // Somebody at the address has guessed at this account last, and may have at others.
      const whose = kind === 'address' || userId === undefined ? {} : { userId: userId as UserId };
      const about = { ...whose, details: { [kind]: name, seconds } };
      untold.push(
        auditEvent(began, 'failure', at, caller, { actor: 'anonymous', ...about }),
        auditEvent(ended, 'success', later(at, seconds), byService.caller, { actor: byService.actor, ...about }),
      );
      // What fails now is written with what comes due later.
      tell().catch(() => {});
    },
    tell,
  };
}
