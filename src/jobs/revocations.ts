/**
 * Revocations in the life of a node: its copy is kept current, what was committed is published, and those who follow are
 * told so. Told once when it isn't.
 */
import type { Logger } from 'pino';
import { BEAT_S, type RevocationFeed } from '../domain/revocation-feed.js';
import type { Revocations } from '../domain/revocations.js';
import { LEASE_MS } from '../ports/revocation-projection.js';
import { every } from './every.js';

/** Several times within a lease, so that one late answer does not cost it. Seconds. */
const FOLLOW_S = LEASE_MS / 4_000;
/** Seconds. */
const RELAY_S = 1;

export function startRevocations(
  { revocations, feed }: { revocations: Revocations; feed: RevocationFeed },
  log: Pick<Logger, 'info' | 'warn'>,
): () => void {
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
    every(BEAT_S, async () => feed.beat(), failed),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
