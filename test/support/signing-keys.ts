/** Signing keys without a database: a store in memory. What the real ones do is for their contract test. */
import type { AuditEvent } from '../../src/domain/types.js';
import type { SigningKeyRow, SigningKeyStore } from '../../src/ports/signing-key-store.js';

export interface MemoryKeyStore {
  rows: SigningKeyRow[];
  events: AuditEvent[];
  state: { reads: number; fails: boolean; longestTokenTtl: number };
  store: SigningKeyStore;
}

export function memoryKeyStore(): MemoryKeyStore {
  const rows: SigningKeyRow[] = [];
  const events: AuditEvent[] = [];
  const state = { reads: 0, fails: false, longestTokenTtl: 900 };
  const store: SigningKeyStore = {
    async published() {
      state.reads++;
      if (state.fails) throw new Error('unreachable');
      return rows.filter((row) => ['pending', 'active', 'retiring'].includes(row.state));
    },
    keySet: async () => ({ keys: [...rows], longestTokenTtl: state.longestTokenTtl }),
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
