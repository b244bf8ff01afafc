/** Signing keys that never leave a PKCS #11 token: what is stored of one is where it is. */
import { calculateJwkThumbprint, type JWK } from 'jose';
import { Refusal } from '../../domain/errors.js';
import type { SigningAlg } from '../../domain/types.js';
import type { Random } from '../../ports/random.js';
import type { DistinctSigner, SigningKeyHandle, VerifySignature } from '../../ports/token-signer.js';
import { type DeviceSettings, type Listed, NEW_KEY } from './device.js';
import { formatReference, isReference, parseReference } from './reference.js';
import { createThreads, THREADS, type Threads } from './threads.js';

const ID_BYTES = 16;
/** Longer than a device that works takes, and shorter than a client waits. Milliseconds. */
const SIGN_MS = 5000;
/** For a start, and for devices that take long to find the primes of an RSA key. Milliseconds. */
const SLOW_MS = 60_000;
/** What is signed to see whether a key signs: no token, and not empty, which RSA mechanisms may refuse. */
const TRIAL = Buffer.from('keyturn');
const WRONG_KEY = 'the device signs with another key than the one that is published';
/** Before the kid, in the label of a key. */
const LABEL = `${NEW_KEY} `;

export interface Pkcs11Parts extends DeviceSettings {
  random: Random;
  verifySignature: VerifySignature;
}

export interface Pkcs11Signer extends DistinctSigner {
  /** Rejects with one line for the operator: the library, the token, its PIN, or what the token cannot do. */
  ensureSupport(alg: SigningAlg): Promise<void>;
  close(): void;
}

export function createPkcs11Signer(
  { random, verifySignature, ...settings }: Pkcs11Parts,
  threads: Threads = createThreads(settings),
): Pkcs11Signer {
  function idOf(material: Uint8Array): Uint8Array {
    const { token, id } = parseReference(material);
    if (token !== settings.token) throw new Error(`the key is in the token ${token}, which PKCS11_TOKEN does not name`);
    return id;
  }

  const sign = async (alg: SigningAlg, id: Uint8Array, input: Uint8Array): Promise<Uint8Array> =>
    (await threads.call({ do: 'sign', alg, id, input }, SIGN_MS)) as Uint8Array;

  const destroy = (id: Uint8Array) => threads.call({ do: 'destroy', id }, SIGN_MS);

  function handleOf(alg: SigningAlg, id: Uint8Array, publicJwk: JWK): SigningKeyHandle {
    let problem: string | null = null;
    let checking = false;
    const signed = async (input: Uint8Array) => {
      try {
        return await sign(alg, id, input);
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
        throw error;
      }
    };
    function check(): void {
      if (checking) return;
      checking = true;
      signed(TRIAL)
        .then((signature) => verifySignature(alg, publicJwk, TRIAL, signature))
        .then(
          // A device that finds another key in its place would sign with that, and all would be refused.
          (verifies) => {
            problem = verifies ? null : WRONG_KEY;
          },
          () => {},
        )
        .finally(() => {
          checking = false;
        });
    }
    return {
      sign: signed,
      check,
      problem() {
        if (problem !== null) check();
        return problem;
      },
    };
  }

  /** A device that spells its public keys in a way of its own is found out here, not by those who verify tokens. */
  async function ensureItSigns(alg: SigningAlg, id: Uint8Array, publicJwk: JWK): Promise<void> {
    const input = random.bytes(ID_BYTES);
    if (!(await verifySignature(alg, publicJwk, input, await sign(alg, id, input))))
      throw new Error('the device made a key whose signatures do not verify');
  }

  return {
    async ensureSupport(alg) {
      const look = () => threads.call({ do: 'ensureSupport', alg }, SLOW_MS);
      // One alone, so that what is wrong is found once; then all, so that no signature waits for a thread to start.
      await look();
      await Promise.all(Array.from({ length: THREADS }, look));
    },
    async generate(alg) {
      const id = random.bytes(ID_BYTES);
      const publicJwk = (await threads.call({ do: 'generate', alg, id }, SLOW_MS)) as JWK;
      try {
        await ensureItSigns(alg, id, publicJwk);
        // For whoever lists the token's objects, and for `held`: without it the key could not be found when it is over.
        const label = LABEL + (await calculateJwkThumbprint(publicJwk));
        await threads.call({ do: 'rename', id, label }, SIGN_MS);
      } catch (error) {
        await destroy(id).catch(() => {});
        throw error;
      }
      return { publicJwk, material: formatReference({ token: settings.token, id }) };
    },
    async adopt() {
      throw new Refusal('key_rejected', {
        detail:
          'New signing keys are made in the HSM and never leave it; one from a file would not be safe there. Import it with SIGNER=local',
      });
    },
    owns: isReference,
    async open(alg, { publicJwk, material }) {
      const id = idOf(material);
      await threads.call({ do: 'ensureKey', id }, SIGN_MS);
      return handleOf(alg, id, publicJwk);
    },
    async destroy(material) {
      await destroy(idOf(material));
    },
    async held() {
      const listed = (await threads.call({ do: 'list' }, SLOW_MS)) as Listed[];
      return listed
        .filter(({ label, id }) => (label === NEW_KEY || label.startsWith(LABEL)) && id.length > 0)
        .map(({ id, label }) => ({
          // One that was left while it was made has no other name.
          kid: label === NEW_KEY ? `CKA_ID ${Buffer.from(id).toString('hex')}` : label.slice(LABEL.length),
          material: formatReference({ token: settings.token, id }),
        }));
    },
    close: threads.close,
  };
}
