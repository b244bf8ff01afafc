/** Signing keys for tests: a store in memory (what the real ones do is for their contract test), and whole nodes. */
import { createInProcessAnnouncements } from '../../src/adapters/in-process/announcements.js';
import { nodeTokenSigner, readPrivateKey, thumbprint } from '../../src/adapters/node-crypto/token-signer.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { within } from '../../src/adapters/system/within.js';
import { createKeyRing, type KeyRing } from '../../src/domain/key-ring.js';
import { createKeyVault } from '../../src/domain/key-vault.js';
import { createSigningKeys, type SigningKeys } from '../../src/domain/signing-keys.js';
import type { AuditEvent, SigningAlg } from '../../src/domain/types.js';
import type { Announcements } from '../../src/ports/announcements.js';
import type { Clock } from '../../src/ports/clock.js';
import type { Kek, KekSource } from '../../src/ports/kek-source.js';
import type { SigningKeyRow, SigningKeyStore } from '../../src/ports/signing-key-store.js';
import type { TokenSigner } from '../../src/ports/token-signer.js';
import { fakeClock } from './clock.js';
import { testKeks } from './service.js';

export interface MemoryKeyStore {
  rows: SigningKeyRow[];
  events: AuditEvent[];
  state: { reads: number; fails: boolean; longestTokenTtl: number };
  store: SigningKeyStore;
}

/** Decides by the clock that it is given, as the real one does by its database's. */
export function memoryKeyStore(clock: Pick<Clock, 'now'> = fakeClock()): MemoryKeyStore {
  const rows: SigningKeyRow[] = [];
  const events: AuditEvent[] = [];
  const state = { reads: 0, fails: false, longestTokenTtl: 900 };
  const store: SigningKeyStore = {
    async published() {
      state.reads++;
      if (state.fails) throw new Error('unreachable');
      return rows.filter((row) => ['pending', 'active', 'retiring'].includes(row.state));
    },
    keySet: async () => ({ keys: [...rows], longestTokenTtl: state.longestTokenTtl, now: clock.now() }),
    async createFirst(row, audit) {
      if (rows.length > 0) return false;
      rows.push(row);
      events.push(audit);
      return true;
    },
    async change(seen, put, audit) {
      if (seen.length !== rows.length || seen.some((row, i) => row !== rows[i])) return false;
      for (const row of put) {
        const at = rows.findIndex(({ kid }) => kid === row.kid);
        if (at === -1) rows.push(row);
        else rows[at] = row;
      }
      events.push(...audit);
      return true;
    },
  };
  return { rows, events, state, store };
}

export interface KeyNode {
  ring: KeyRing;
  signingKeys: SigningKeys;
}

export interface KeyNodeOptions {
  store: SigningKeyStore;
  clock: Clock;
  keks?: KekSource;
  signer?: TokenSigner;
  announcements?: Announcements;
  alg?: SigningAlg;
  rotationDays?: number;
}

/** All of a node that has to do with keys. Algorithms whose keys are quickly made are the right ones for tests. */
export function keyNode(options: KeyNodeOptions): KeyNode {
  const { store, clock, alg = 'EdDSA', rotationDays = 30 } = options;
  const { keks = testKeks(), announcements = createInProcessAnnouncements() } = options;
  const vault = createKeyVault({ keks, signer: options.signer ?? nodeTokenSigner, random: systemRandom, thumbprint });
  const ring = createKeyRing({ store, vault, announcements, clock, alg });
  const settings = { alg, rotationDays };
  return {
    ring,
    signingKeys: createSigningKeys({ store, vault, ring, announcements, readPrivateKey, within, settings }),
  };
}

/** Several KEKs in memory; the last one put there is the newest. */
export function severalKeks(...ids: string[]): KekSource & { put(id: string): void; remove(id: string): void } {
  const keks = new Map<string, Kek>();
  const put = (id: string) => void keks.set(id, { id, key: systemRandom.bytes(32) });
  ids.forEach(put);
  return {
    put,
    remove: (id) => void keks.delete(id),
    find: (id) => keks.get(id) ?? null,
    newest() {
      const newest = [...keks.values()].at(-1);
      if (newest === undefined) throw new Error('there is no KEK');
      return newest;
    },
  };
}
