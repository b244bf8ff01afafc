import type { AuditEvent, Client } from '../domain/types.js';

export interface ClientStore {
  find(clientId: string): Promise<Client | null>;
  /** False when the client_id is taken; then nothing is stored. */
  create(client: Client, audit: AuditEvent): Promise<boolean>;
}
