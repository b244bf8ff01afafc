/** The signing keys in the life of a node: follows what others did, does what is due, and says once what is wrong. */
import type { Logger } from 'pino';
import type { KeyRing } from '../domain/key-ring.js';
import type { KeyProblem } from '../domain/key-vault.js';
import type { Readiness } from '../domain/readiness.js';
import type { SigningKeys } from '../domain/signing-keys.js';

const meanings: Record<KeyProblem, string> = {
  kek_missing: 'a signing key cannot be opened: its KEK is not in KEYS_DIR; put the file back',
  seal_broken: 'a signing key cannot be opened: the KEK of that name is another one, or the row was changed',
  not_usable: 'a signing key cannot be used: what was sealed is no key that the signer knows',
};

export interface KeyRotation {
  /** Reads the keys again. */
  follow(): Promise<void>;
  /** Does what is due, then reads the keys again. */
  tend(): Promise<void>;
}

export function keyRotation(
  { keys, signingKeys, readiness }: { keys: KeyRing; signingKeys: SigningKeys; readiness: Readiness },
  log: Pick<Logger, 'info' | 'warn' | 'error'>,
): KeyRotation {
  let told = new Set<string>();

  async function follow(): Promise<void> {
    await keys.load();
    const problems = keys.problems();
    const texts = problems.map((problem) => JSON.stringify(problem));
    for (const [i, problem] of problems.entries()) {
      if (!told.has(texts[i] ?? '')) log.error(problem, meanings[problem.problem]);
    }
    told = new Set(texts);
  }

  return {
    follow,
    async tend() {
      try {
        // The waits are told by this node's clock, and the database is the only other one that it knows.
        if ((await readiness.missing()).includes('clock'))
          log.warn({}, 'the clock is wrong; leaving the signing keys to others');
        else for (const { event, ...about } of await signingKeys.tend()) log.info(about, event);
      } finally {
        await follow();
      }
    },
  };
}
