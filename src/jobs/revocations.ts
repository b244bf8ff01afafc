/** Revocations in the life of a node: its copy is kept current, and what was committed is published. Told once when it isn't. */
import type { Logger } from 'pino';
import type { Revocations } from '../domain/revocations.js';
import { LEASE_MS } from '../ports/revocation-projection.js';
import { every } from './every.js';

/** Several times within a lease, so that one late answer does not cost it. Seconds. */
const FOLLOW_S = LEASE_MS / 4_000;
/** Seconds. */
const RELAY_S = 1;

export function startRevocations(revocations: Revocations, log: Pick<Logger, 'info' | 'warn'>): () => void {
  let wasCurrent = true;
  let problem: unknown;

  function tell(): void {
    const isCurrent = revocations.isCurrent();
    if (isCurrent === wasCurrent) return;
    wasCurrent = isCurrent;
    if (isCurrent) log.info({}, 'revocations are known again');
    else
      log.warn(
        { err: problem },
        'revocations may be unknown: until Redis answers and its projection is rebuilt, tokens are refused with revocation_unknown',
      );
  }

  const failed = (error: unknown) => {
    problem = error;
  };
  const stops = [
    every(FOLLOW_S, () => revocations.follow().finally(tell), failed),
    every(RELAY_S, revocations.relay, failed),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
