/** Clients (applications): what one may ask for, and how a confidential one proves who it is. */
import { timingSafeEqual } from 'node:crypto';
import type { AuditLog } from '../ports/audit-log.js';
import type { ClientStore } from '../ports/client-store.js';
import type { Clock } from '../ports/clock.js';
import type { Random } from '../ports/random.js';
import { auditEvent } from './audit.js';
import { toBase64url } from './base64url.js';
import { Refusal } from './errors.js';
import { sha256 } from './refresh-token.js';
import type { Caller, Client, Grant, Instant } from './types.js';

const DAY_S = 86_400;
/** What a token must be for, and what its user must be, to administer: tokens of the seeded client are and do. */
export const ADMIN_AUDIENCE = 'keyturn-admin';
export const ADMIN_ROLE = 'admin';

export const CLIENT_SECRET_PREFIX = 'kts_';
const SECRET_BYTES = 32;

/** Seconds. */
export const clientDefaults = {
  accessTokenTtl: 900,
  idleTtl: 14 * DAY_S,
  absoluteTtl: 90 * DAY_S,
  tokenDelivery: 'body' as const,
  renewAfter: 60,
  anomalyPolicy: 'flag' as const,
};

/** Seconds. How long a session may be idle whose token comes in a header, unless the client says otherwise. */
const HEADER_IDLE_TTL_S = 1800;

/**
 * With header delivery the access token is all that its holder has, so that it lives as long as the session may be idle:
 * one time to live decides the other.
 */
const defaultsOf = ({ tokenDelivery, idleTtl = HEADER_IDLE_TTL_S }: Partial<ClientSettings>) =>
  tokenDelivery === 'header' ? { ...clientDefaults, idleTtl, accessTokenTtl: idleTtl } : clientDefaults;

/** What may be changed of a client; the rest it has for life. */
export type ClientSettings = Omit<Client, 'clientId' | 'type' | 'secretHash' | 'createdAt'>;

export type NewClient = Pick<Client, 'clientId' | 'type'> &
  Pick<ClientSettings, 'name' | 'audiences'> &
  Partial<ClientSettings>;

/** The two public clients that every installation has. */
const seeds: readonly NewClient[] = [
  { clientId: 'default', name: 'Default', type: 'public', audiences: ['api'] },
  {
    clientId: 'keyturn-admin',
    name: 'Keyturn administration',
    type: 'public',
    audiences: [ADMIN_AUDIENCE],
    requiredRoles: [ADMIN_ROLE],
  },
];

export const isSeeded = (clientId: string): boolean => seeds.some((seed) => seed.clientId === clientId);

/** A client that proved who it is. It may have changed since: what it is given is as old as that. */
export type ProvedClient = Client & { provedAt: Instant };

export interface Clients {
  /** Throws `unknown_client`, `grant_not_allowed`. */
  forPublicGrant(clientId: string, grant: Grant): Promise<Client>;
  /** Throws `invalid_client`. */
  authenticate(clientId: string, secret: string, caller: Caller): Promise<ProvedClient>;
  /** A public client, which has nothing to prove who it is with. Throws `invalid_client`. */
  identify(clientId: string): Promise<Client>;
  /** The secret is shown here and never again; null for a public client. Throws `client_exists`. */
  create(client: NewClient): Promise<{ client: Client; secret: string | null }>;
  /** Stores the two public clients that every installation has, unless they are there. */
  seed(): Promise<void>;
}

const service = { ip: null, place: null, userAgent: null, requestId: null };

export const newClientSecret = (random: Random): string =>
  CLIENT_SECRET_PREFIX + toBase64url(random.bytes(SECRET_BYTES));

/** With its secret, which nobody can show again; null for a public client. */
export function makeClient(fields: NewClient, at: Instant, random: Random): { client: Client; secret: string | null } {
  const secret = fields.type === 'public' ? null : newClientSecret(random);
  const client: Client = {
    ...defaultsOf(fields),
    scopes: [],
    grants: fields.type === 'public' ? ['password', 'refresh_token'] : ['client_credentials'],
    requiredRoles: [],
    corsOrigins: [],
    ...fields,
    secretHash: secret === null ? null : sha256(secret),
    createdAt: at,
  };
  return { client, secret };
}

export function createClients(
  store: Pick<ClientStore, 'find' | 'create'>,
  audit: AuditLog,
  clock: Clock,
  random: Random,
): Clients {
  async function create(fields: NewClient) {
    const at = clock.now();
    const { client, secret } = makeClient(fields, at, random);
    const about = { actor: 'service', clientId: client.clientId };
    if (!(await store.create(client, auditEvent('client.created', 'success', at, service, about))))
      throw new Refusal('client_exists');
    return { client, secret };
  }

  return {
    create,
    async forPublicGrant(clientId, grant) {
      const client = await store.find(clientId);
      if (client === null) throw new Refusal('unknown_client');
      requireGrant(client, grant);
      // Only a public client may act without proving who it is.
      if (client.type !== 'public') throw new Refusal('grant_not_allowed');
      return client;
    },
    async authenticate(clientId, secret, caller) {
      const provedAt = clock.now();
      const client = await store.find(clientId);
      // An unknown client costs the same as a wrong secret.
      const right = timingSafeEqual(sha256(secret), client?.secretHash ?? sha256(''));
      if (client === null || client.secretHash === null || !right) {
        const about = { actor: 'anonymous', clientId };
        await audit.append(auditEvent('client.authentication_failed', 'failure', provedAt, caller, about));
        throw new Refusal('invalid_client');
      }
      return { ...client, provedAt };
    },
    async identify(clientId) {
      const client = await store.find(clientId);
      if (client?.type !== 'public') throw new Refusal('invalid_client');
      return client;
    },
    async seed() {
      for (const seed of seeds) {
        if ((await store.find(seed.clientId)) !== null) continue;
        // Another node that starts at the same moment may be the first.
        await create(seed).catch((error) => {
          if (!(error instanceof Refusal && error.code === 'client_exists')) throw error;
        });
      }
    },
  };
}

export function requireGrant(client: Client, grant: Grant): void {
  if (!client.grants.includes(grant)) throw new Refusal('grant_not_allowed');
}

/** The audience asked for, or the client's first. */
export function chooseAudience(client: Client, asked: string | undefined): string {
  const audience = asked ?? client.audiences[0];
  if (audience === undefined || !client.audiences.includes(audience)) throw new Refusal('audience_not_allowed');
  return audience;
}

/** The scope asked for (RFC 6749 §3.3), or all that the client may have. Each value once, in the order asked. */
export function chooseScope(client: Client, asked: string | undefined): string {
  if (asked === undefined) return client.scopes.join(' ');
  const values = [...new Set(asked.split(' ').filter((value) => value !== ''))];
  if (!values.every((value) => client.scopes.includes(value))) throw new Refusal('scope_not_allowed');
  return values.join(' ');
}
