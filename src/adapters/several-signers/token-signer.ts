/**
 * New keys are made by the first signer; an existing one is opened by whichever made it. So going over to an HSM, or
 * back, is a rotation like any other.
 */
import type { DistinctSigner, TokenSigner } from '../../ports/token-signer.js';

export function severalSigners(first: DistinctSigner, ...others: DistinctSigner[]): TokenSigner {
  const all = [first, ...others];
  const makerOf = (material: Uint8Array): TokenSigner => {
    const maker = all.find((signer) => signer.owns(material));
    if (maker === undefined) throw new Error('this is no key, or the device that holds it is not configured');
    return maker;
  };
  return {
    generate: (alg) => first.generate(alg),
    adopt: (privatePkcs8) => first.adopt(privatePkcs8),
    open: async (alg, pair) => makerOf(pair.material).open(alg, pair),
    destroy: async (material) => makerOf(material).destroy(material),
    held: async () => (await Promise.all(all.map((signer) => signer.held()))).flat(),
  };
}
