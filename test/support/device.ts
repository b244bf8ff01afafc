/** An HSM in memory that can be unplugged. What a real one does is for the contract test of the signer. */
import { nodeTokenSigner, thumbprint } from '../../src/adapters/node-crypto/token-signer.js';
import type { DistinctSigner } from '../../src/ports/token-signer.js';

const SCHEME = 'device:';
const referenceTo = (kid: string): Uint8Array => Buffer.from(SCHEME + kid);
const kidOf = (material: Uint8Array): string => Buffer.from(material).toString().slice(SCHEME.length);

export interface FakeDevice {
  signer: DistinctSigner;
  state: { plugged: boolean };
  /** By kid, what the device keeps. */
  keys: Map<string, Uint8Array>;
  /** A key that nobody asked for. */
  leave(): Promise<string>;
}

export function fakeDevice(): FakeDevice {
  const state = { plugged: true };
  const keys = new Map<string, Uint8Array>();
  const ensurePlugged = () => {
    if (!state.plugged) throw new Error('CKR_DEVICE_REMOVED');
  };
  const keyOf = (kid: string) => {
    ensurePlugged();
    const key = keys.get(kid);
    if (key === undefined) throw new Error('no such key');
    return key;
  };
  const signer: DistinctSigner = {
    ...nodeTokenSigner,
    async generate(alg) {
      ensurePlugged();
      const { publicJwk, material } = await nodeTokenSigner.generate(alg);
      const kid = await thumbprint(publicJwk);
      keys.set(kid, Buffer.from(material));
      return { publicJwk, material: referenceTo(kid) };
    },
    adopt: async () => Promise.reject(new Error('not here')),
    owns: (material) => Buffer.from(material).toString().startsWith(SCHEME),
    async open(alg, { publicJwk, material }) {
      const kid = kidOf(material);
      keyOf(kid);
      let failed: string | null = null;
      const handle = {
        async sign(input: Uint8Array) {
          try {
            const { sign } = await nodeTokenSigner.open(alg, { publicJwk, material: keyOf(kid) });
            failed = null;
            return await sign(input);
          } catch (error) {
            failed = String(error);
            throw error;
          }
        },
        problem: () => failed,
        check: () => void handle.sign(new Uint8Array()).catch(() => {}),
      };
      return handle;
    },
    async destroy(material) {
      ensurePlugged();
      keys.delete(kidOf(material));
    },
    async held() {
      ensurePlugged();
      return [...keys.keys()].map((kid) => ({ kid, material: referenceTo(kid) }));
    },
  };
  return { signer, state, keys, leave: async () => kidOf((await signer.generate('EdDSA')).material) };
}
