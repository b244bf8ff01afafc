/** What the routes call: the domain, wired. */
import type { Accounts } from '../domain/accounts.js';
import type { IssueToClient } from '../domain/client-credentials.js';
import type { Clients } from '../domain/clients.js';
import type { KeyRing } from '../domain/key-ring.js';
import type { Guard } from '../domain/limits.js';
import type { Readiness } from '../domain/readiness.js';
import type { Refresh } from '../domain/refresh.js';
import type { Sessions } from '../domain/sessions.js';
import type { SigningKeys } from '../domain/signing-keys.js';
import type { Metrics } from '../ports/metrics.js';
import type { Places } from '../ports/places.js';

export interface Services {
  issuer: string;
  accounts: Accounts;
  sessions: Sessions;
  refresh: Refresh;
  clients: Clients;
  issueToClient: IssueToClient;
  guard: Guard;
  keys: KeyRing;
  signingKeys: SigningKeys;
  readiness: Readiness;
  places: Places;
  metrics: Metrics;
}
