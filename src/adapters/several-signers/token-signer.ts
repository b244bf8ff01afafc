/**
 * New keys are made by the first signer; an existing one is opened by whichever made it. So going over to an HSM, or
 * back, is a rotation like any other.
 */
import type { TokenSigner } from '../../ports/token-signer.js';

export function severalSigners(first: TokenSigner, ...others: TokenSigner[]): TokenSigner {
  const all = [first, ...others];
  const makerOf = (material: Uint8Array): TokenSigner => {
    const maker = all.find((signer) => signer.owns(material));
    if (maker === undefined) throw new Error('the device that holds this key is not configured');
    return maker;
  };
  return {
    generate: (alg) => first.generate(alg),
    owns: (material) => all.some((signer) => signer.owns(material)),
    open: async (alg, material) => makerOf(material).open(alg, material),
    destroy: async (material) => makerOf(material).destroy(material),
  };
}
