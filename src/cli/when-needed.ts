/** What only some commands need, opened when they first use it: the others work without a KEK and without Redis. */
import { madeWhenUsed } from '../domain/made-when-used.js';
import type { Messaging, OpenBreachedPasswords, OpenSigner } from '../foundation.js';
import { KekProblem, type KekSource } from '../ports/kek-source.js';
import type { RevocationProjection } from '../ports/revocation-projection.js';
import type { TokenSigner } from '../ports/token-signer.js';

export function keksWhenNeeded(open: () => KekSource): KekSource {
  let opened: KekSource | null = null;
  const keks = () => {
    opened ??= open();
    return opened;
  };
  return {
    newest: () => keks().newest(),
    // Without any KEK the keys can still be listed, and one that nobody can open be given up.
    find(id) {
      try {
        return keks().find(id);
      } catch (error) {
        if (error instanceof KekProblem) return null;
        throw error;
      }
    },
  };
}

export function messagingWhenNeeded(open: () => Promise<Messaging>): Omit<Messaging, 'limiterOf' | 'requestLimiterOf'> {
  const { get: messaging, ifMade } = madeWhenUsed(open);
  return {
    announcements: {
      announce: async (...args) => (await messaging()).announcements.announce(...args),
      ping: async () => (await messaging()).announcements.ping(),
      listen() {},
    },
    projection: {
      renew: async (...args) => (await messaging()).projection.renew(...args),
      publish: async (...args) => (await messaging()).projection.publish(...args),
      behind: async (...args) => (await messaging()).projection.behind(...args),
      drop: async (...args) => (await messaging()).projection.drop(...args),
      ask: async (...args) => (await messaging()).projection.ask(...args),
      rebuild: async (...args) => (await messaging()).projection.rebuild(...args),
      // A command holds no copy that others would have to tell of anything.
      listen() {},
    },
    close: async () => (await ifMade())?.close(),
  };
}

/** Without Redis a service finds in the database what a command has revoked: its lease from before is waited for. */
export const unheard = (projection: RevocationProjection): RevocationProjection => ({
  ...projection,
  behind: async () => ['the service'],
});

export function signerWhenNeeded(open: () => Promise<OpenSigner>): TokenSigner & { close(): Promise<void> } {
  const { get: signer, ifMade } = madeWhenUsed(open);
  return {
    generate: async (alg) => (await signer()).generate(alg),
    adopt: async (privatePkcs8) => (await signer()).adopt(privatePkcs8),
    open: async (alg, pair) => (await signer()).open(alg, pair),
    destroy: async (material) => (await signer()).destroy(material),
    held: async () => (await signer()).held(),
    close: async () => (await ifMade())?.close?.(),
  };
}

export function breachedPasswordsWhenNeeded(open: () => Promise<OpenBreachedPasswords>): OpenBreachedPasswords {
  const { get, ifMade } = madeWhenUsed(open);
  return {
    has: async (password) => (await get()).has(password),
    close: async () => (await ifMade())?.close(),
  };
}
