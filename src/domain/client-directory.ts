/**
 * What this node has to know of clients before it can ask for them: whose pages may call, which a preflight does not say,
 * and whose tokens are renewed, which no check can wait for. Read every POLL_S and when another node says that it changed.
 */
import type { ClientStore } from '../ports/client-store.js';
import { coalesced } from './coalesced.js';

/** How often the directory is read again, seconds. */
export const DIRECTORY_POLL_S = 30;

export interface ClientDirectory {
  load(): Promise<void>;
  /** Whether the origin is one of any client, exactly. */
  hasOrigin(origin: string): boolean;
  /** Seconds after which a token of the client is renewed; null unless it has header delivery. */
  renewAfter(clientId: string): number | null;
}

export function createClientDirectory(store: Pick<ClientStore, 'ofBrowsers'>): ClientDirectory {
  let origins: ReadonlySet<string> = new Set();
  let renewals: ReadonlyMap<string, number> = new Map();
  return {
    load: coalesced(async () => {
      const clients = await store.ofBrowsers();
      origins = new Set(clients.flatMap(({ corsOrigins }) => corsOrigins));
      const renewed = clients.filter(({ tokenDelivery }) => tokenDelivery === 'header');
      renewals = new Map(renewed.map(({ clientId, renewAfter }) => [clientId, renewAfter]));
    }),
    hasOrigin: (origin) => origins.has(origin),
    renewAfter: (clientId) => renewals.get(clientId) ?? null,
  };
}
