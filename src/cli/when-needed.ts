/** What only some commands need, opened when they first use it: the others work without a KEK and without Redis. */
import type { Foundation, OpenSigner } from '../compose.js';
import { KekProblem, type KekSource } from '../ports/kek-source.js';
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

export function announcementsWhenNeeded(open: () => Promise<Foundation['announcements']>) {
  let opened: Promise<Foundation['announcements']> | null = null;
  const announcements = () => {
    opened ??= open();
    return opened;
  };
  return {
    announce: async (...args) => (await announcements()).announce(...args),
    listen: (...args) => void announcements().then((opened) => opened.listen(...args)),
    ping: async () => (await announcements()).ping(),
    close: async () => (await opened)?.close?.(),
  } satisfies Foundation['announcements'];
}

export function signerWhenNeeded(open: () => Promise<OpenSigner>): TokenSigner & { close(): Promise<void> } {
  let opened: Promise<OpenSigner> | null = null;
  const signer = () => {
    opened ??= open();
    return opened;
  };
  return {
    generate: async (alg) => (await signer()).generate(alg),
    adopt: async (privatePkcs8) => (await signer()).adopt(privatePkcs8),
    open: async (alg, material) => (await signer()).open(alg, material),
    destroy: async (material) => (await signer()).destroy(material),
    held: async () => (await signer()).held(),
    close: async () => (await opened)?.close?.(),
  };
}
