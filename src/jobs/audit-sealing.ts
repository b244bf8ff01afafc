/** The sealing of audit events in the life of a node: every node tries, the lock lets one. */
import type { Logger } from 'pino';
import type { AuditSealing } from '../domain/audit-sealing.js';
import { every } from './every.js';

/** Seconds. */
const SEAL_S = 5;

export const startAuditSealing = (sealing: AuditSealing, log: Pick<Logger, 'info' | 'warn'>): (() => void) =>
  every(
    SEAL_S,
    async () => {
      // Where the log is kept elsewhere, these lines are the heads that a chain that was made anew does not have.
      const last = (await sealing.run()).at(-1);
      if (last !== undefined) log.info({ seal: last.sequence, hash: last.hash }, 'sealed audit events');
    },
    (error) => log.warn({ err: error }, 'could not seal the audit events; trying again'),
  );
