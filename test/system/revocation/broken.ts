/** One rule of the protocol taken out of a running node: a proof that does not find that finds nothing at all. */
import type { RevocationProjection } from '../../../src/ports/revocation-projection.js';

export const mutations = ['does not wait', 'needs no lease'] as const;
export type Mutation = (typeof mutations)[number];

export const breakable = (projection: RevocationProjection, mutation: () => Mutation | null): RevocationProjection => ({
  ...projection,
  behind: async (head) => (mutation() === 'does not wait' ? [] : projection.behind(head)),
  renew: async (head) => (mutation() === 'needs no lease' ? head : projection.renew(head)),
});
