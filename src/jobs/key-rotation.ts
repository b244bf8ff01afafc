/** The signing keys in the life of a node: follows what others did, does what is due, and says once what is wrong. */
import type { Logger } from 'pino';
import { coalesced } from '../domain/coalesced.js';
import type { Leftover } from '../domain/key-disposal.js';
import type { KeyRing } from '../domain/key-ring.js';
import type { KeyProblem } from '../domain/key-vault.js';
import type { SigningKeys } from '../domain/signing-keys.js';

const meanings: Record<KeyProblem, string> = {
  kek_missing: 'a signing key cannot be opened: its KEK is not in KEYS_DIR; put the file back',
  seal_broken: 'a signing key cannot be opened: the KEK of that name is another one, or the row was changed',
  not_usable: 'a signing key cannot be used: what was sealed is no key, or what holds the key cannot be reached',
  not_signing: 'a signing key does not sign: what holds it is away, or refuses',
};

const remains: Record<Leftover['leftover'], string> = {
  not_destroyed: 'a private key that is no longer needed could not be destroyed in the HSM; trying again',
  not_searched: 'the HSM could not be searched for private keys that are no longer needed; trying again',
  unknown:
    'the HSM has a private key that no signing key needs: if it is not of another installation, delete it with the tools of the maker',
};

export interface KeyRotation {
  /** Reads the keys again. */
  follow(): Promise<void>;
  /** Does what is due, once at a time. It may wait for a device, and keeps nobody from following meanwhile. */
  tend(): Promise<void>;
}

export function keyRotation(
  { keys, signingKeys }: { keys: KeyRing; signingKeys: SigningKeys },
  log: Pick<Logger, 'info' | 'warn' | 'error'>,
): KeyRotation {
  let told = new Set<string>();
  let toldLeft = new Set<string>();

  async function follow(): Promise<void> {
    await keys.load();
    const problems = keys.problems();
    const texts = problems.map((problem) => JSON.stringify(problem));
    for (const [i, problem] of problems.entries()) {
      if (!told.has(texts[i] ?? '')) log.error(problem, meanings[problem.problem]);
    }
    told = new Set(texts);
  }

  function tellLeftovers(): void {
    const leftovers = signingKeys.leftovers();
    const texts = leftovers.map((leftover) => JSON.stringify(leftover));
    for (const [i, leftover] of leftovers.entries()) {
      if (!toldLeft.has(texts[i] ?? '')) log.warn(leftover, remains[leftover.leftover]);
    }
    toldLeft = new Set(texts);
  }

  return {
    follow,
    tend: coalesced(async () => {
      try {
        for (const { event, ...about } of await signingKeys.tend()) log.info(about, event);
      } finally {
        tellLeftovers();
      }
    }),
  };
}
