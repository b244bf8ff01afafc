/** What the routes call: the domain, wired. */
import type { Accounts } from '../domain/accounts.js';
import type { AuditAdministration } from '../domain/audit-administration.js';
import type { AuditSealing } from '../domain/audit-sealing.js';
import type { Blocks } from '../domain/blocks.js';
import type { CleanUp } from '../domain/clean-up.js';
import type { ClientAdministration } from '../domain/client-administration.js';
import type { IssueToClient } from '../domain/client-credentials.js';
import type { ClientDirectory } from '../domain/client-directory.js';
import type { Clients } from '../domain/clients.js';
import type { Detection } from '../domain/detection.js';
import type { Introspect } from '../domain/introspection.js';
import type { KeyRing } from '../domain/key-ring.js';
import type { Guard } from '../domain/limits.js';
import type { Readiness } from '../domain/readiness.js';
import type { Refresh } from '../domain/refresh.js';
import type { RevocationAdministration } from '../domain/revocation-administration.js';
import type { RevocationFeed } from '../domain/revocation-feed.js';
import type { Revocations } from '../domain/revocations.js';
import type { Sessions } from '../domain/sessions.js';
import type { Shedding } from '../domain/shedding.js';
import type { SigningKeys } from '../domain/signing-keys.js';
import type { RenewToken } from '../domain/sliding-sessions.js';
import type { RevokeToken } from '../domain/token-revocation.js';
import type { UserAdministration } from '../domain/user-administration.js';
import type { WebhookAdministration } from '../domain/webhook-administration.js';
import type { WebhookSending } from '../domain/webhook-sending.js';
import type { Metrics } from '../ports/metrics.js';
import type { Places } from '../ports/places.js';
import type { RequestLimiters } from './request-limits.js';

/** What administrators do: one member a noun, each with a file of routes in http/admin. */
export interface Administration {
  users: UserAdministration;
  clients: ClientAdministration;
  keys: Omit<SigningKeys, 'tend'>;
  webhooks: WebhookAdministration;
  revocations: RevocationAdministration;
  audit: AuditAdministration;
}

export interface Services {
  issuer: string;
  accounts: Accounts;
  sessions: Sessions;
  revocations: Revocations;
  feed: RevocationFeed;
  refresh: Refresh;
  clients: Clients;
  directory: ClientDirectory;
  renewToken: RenewToken;
  issueToClient: IssueToClient;
  revokeToken: RevokeToken;
  introspect: Introspect;
  administration: Administration;
  guard: Guard;
  detection: Detection;
  requestLimiters: RequestLimiters;
  shedding: Shedding;
  blocks: Blocks;
  keys: KeyRing;
  signingKeys: SigningKeys;
  auditSealing: AuditSealing;
  cleanUp: CleanUp;
  webhookSending: WebhookSending;
  readiness: Readiness;
  places: Places;
  metrics: Metrics;
}
