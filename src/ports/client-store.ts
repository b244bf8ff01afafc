import type { ClientSettings } from '../domain/clients.js';
import type { AuditEvent, Client, Sha256 } from '../domain/types.js';

export type BrowserClient = Pick<Client, 'clientId' | 'tokenDelivery' | 'renewAfter' | 'corsOrigins'>;

export interface ClientStore {
  find(clientId: string): Promise<Client | null>;
  /** Those whose settings browsers meet: with header delivery, or with origins. In no order. */
  ofBrowsers(): Promise<BrowserClient[]>;
  /** By client_id, in the order of the database: those after `after`, at most `limit`. */
  list(after: string | null, limit: number): Promise<Client[]>;
  /** False when the client_id is taken; then nothing is stored. */
  create(client: Client, audit: AuditEvent): Promise<boolean>;

  // Each of these is one transaction with its audit event. False or null: there is no such client, and nothing is stored.

  /** Compare and swap; false also when the settings are no longer those of `before`. */
  update(before: Client, after: ClientSettings, audit: AuditEvent): Promise<boolean>;
  /** Of a confidential client. */
  setSecret(clientId: string, secretHash: Sha256, audit: AuditEvent): Promise<boolean>;
  /** Takes the client's sessions away too; resolves to the number of those that were live. */
  delete(clientId: string, audit: AuditEvent): Promise<number | null>;
}
