/**
 * `localStorage`, shared by all tabs of an origin: Web Locks keep their refreshes apart, storage events tell of each
 * other. A tab may see what another has stored a moment late, lock or no lock; it then repeats a request that has been
 * answered, with the same key, and gets the same answer.
 */
import type { AuthStorage } from './storage.js';

/** What is used of the page: its types are not there where this is compiled for Node. */
interface Page {
  localStorage: WebStore;
  navigator?: {
    locks?: { request<T>(name: string, options: { signal: AbortSignal }, work: () => Promise<T>): Promise<T> };
  };
  /** Not there in Node and React Native. */
  addEventListener?(type: 'storage', listener: (event: StorageChange) => void): void;
  removeEventListener(type: 'storage', listener: (event: StorageChange) => void): void;
}

interface StorageChange {
  /** Null when all was cleared. */
  key: string | null;
  storageArea: unknown;
}

/** `localStorage` or `sessionStorage`. */
export interface WebStore {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

/** A tab that hangs with the lock holds others up for this long. Milliseconds. */
const LOCK_WAIT_MS = 10_000;

/** Any script of the page can read what is stored here (OWASP ASVS 5.0 §14.3.3): keep foreign scripts out. */
export function webStorage(given?: WebStore): AuthStorage {
  const page = globalThis as unknown as Page;
  if (given === undefined && page.addEventListener === undefined)
    throw new TypeError('webStorage() is for pages: take memoryStorage(), or fileStorage() of keyturn/client/node');
  const store = given ?? page.localStorage;
  return {
    get: (name) => store.getItem(name),
    set: (name, value) => store.setItem(name, value),
    delete: (name) => store.removeItem(name),
    async lock<T>(name: string, work: () => Promise<T>): Promise<T> {
      // Absent in old browsers, and where the page did not come over https.
      const locks = page.navigator?.locks;
      if (!locks) return work();
      const waiting = new AbortController();
      const timer = setTimeout(() => waiting.abort(), LOCK_WAIT_MS);
      let granted = false;
      const guarded = () => {
        granted = true;
        clearTimeout(timer);
        return work();
      };
      try {
        return await locks.request(name, { signal: waiting.signal }, guarded);
      } catch (error) {
        if (granted) throw error;
        return work();
      } finally {
        clearTimeout(timer);
      }
    },
    watch(name, listener) {
      const onChange = ({ key, storageArea }: StorageChange) => {
        if (storageArea === store && (key === name || key === null)) listener();
      };
      page.addEventListener?.('storage', onChange);
      return () => page.removeEventListener('storage', onChange);
    },
  };
}
