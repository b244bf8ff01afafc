/** Whether this node can do its work, and if not, what it lacks. */
import type { Announcements } from '../ports/announcements.js';
import type { Clock } from '../ports/clock.js';
import type { DatabaseHealth } from '../ports/database-health.js';
import { CLOCK_TOLERANCE_S } from './access-token.js';
import type { KeyRing, SealedKeyProblem } from './key-ring.js';
import type { Revocations } from './revocations.js';

export type Missing = 'database' | 'redis' | 'signing_key' | 'clock';

/** Milliseconds; a probe is worth nothing if it hangs. */
const PROBE_TIMEOUT_MS = 2000;

export interface Readiness {
  /** Empty when all is well. */
  missing(): Promise<Missing[]>;
  /** Why `signing_key` is among them, where it is about keys that are there. */
  keyProblems(): readonly SealedKeyProblem[];
}

export function createReadiness(
  database: DatabaseHealth,
  announcements: Announcements,
  revocations: Pick<Revocations, 'canTell'>,
  keys: KeyRing,
  clock: Clock,
  within: <T>(ms: number, work: Promise<T>) => Promise<T>,
): Readiness {
  const works = (work: Promise<unknown>) =>
    within(PROBE_TIMEOUT_MS, work).then(
      () => true,
      () => false,
    );

  async function databaseProblem(): Promise<Missing | null> {
    const before = clock.now();
    try {
      const theirs = await within(PROBE_TIMEOUT_MS, database.now());
      // Their clock was read somewhere between two readings of ours; verifiers forgive CLOCK_TOLERANCE_S.
      const skew = Math.max(before - theirs, theirs - clock.now(), 0);
      return skew > CLOCK_TOLERANCE_S * 1000 ? 'clock' : null;
    } catch {
      return 'database';
    }
  }

  /** It answers, and the projection in it is whole. */
  async function redisProblem(): Promise<Missing | null> {
    const canTell = async () => {
      if (!(await revocations.canTell())) throw new Error('it has to be rebuilt');
    };
    return (await works(Promise.all([announcements.ping(), canTell()]))) ? null : 'redis';
  }

  function signingKeyProblem(): Missing | null {
    try {
      keys.signingKey();
      return keys.problems().length > 0 ? 'signing_key' : null;
    } catch {
      return 'signing_key';
    }
  }

  async function look(): Promise<Missing[]> {
    const problems = await Promise.all([databaseProblem(), redisProblem()]);
    return [...problems, signingKeyProblem()].filter((m) => m !== null);
  }

  // Anybody may ask, so that however many do, there is one look at a time.
  let looking: Promise<Missing[]> | null = null;
  return {
    keyProblems: () => keys.problems(),
    missing() {
      looking ??= look().finally(() => {
        looking = null;
      });
      return looking;
    },
  };
}
