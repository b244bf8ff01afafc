/** What administrators do with clients (applications). Each change leaves an audit event that says who did it. */
import { validate as isUuid } from 'uuid';
import type { Announcements } from '../ports/announcements.js';
import type { ClientStore } from '../ports/client-store.js';
import type { Clock } from '../ports/clock.js';
import type { Random } from '../ports/random.js';
import { auditEvent } from './audit.js';
import { type ClientSettings, isSeeded, makeClient, type NewClient, newClientSecret } from './clients.js';
import { Refusal } from './errors.js';
import { sha256 } from './refresh-token.js';
import type { Revocations } from './revocations.js';
import type { AuditEvent, By, Client, Page } from './types.js';

/** All but `list` and `create` throw `not_found`. */
export interface ClientAdministration {
  /** In the order of their ids. */
  list(after: string | null, limit: number): Promise<Page<Client, string>>;
  find(clientId: string): Promise<Client>;
  /** The secret is shown here and never again; null for a public client. Throws `client_exists`. */
  create(client: NewClient, by: By): Promise<{ client: Client; secret: string | null }>;
  /** Sessions go on: what they may ask for was laid down at the login; times to live count from the next refresh on. */
  update(clientId: string, changes: Partial<ClientSettings>, by: By): Promise<Client>;
  /** The secret before is good no more. Throws `client_public`. */
  rotateSecret(clientId: string, by: By): Promise<{ client: Client; secret: string }>;
  /** With all its sessions. Throws `client_required` for one that the next start would make again. */
  delete(clientId: string, by: By): Promise<Client>;
}

const isOrigin = (value: string): boolean => URL.canParse(value) && new URL(value).origin === value;

/** Seconds. A token that is given a longer life could be revoked, and not forgotten about. */
const MAX_HEADER_IDLE_TTL_S = 86_400;

/** What a schema of each member alone cannot say. */
function refuseOddities(client: Client): void {
  const { type, grants, accessTokenTtl, idleTtl, absoluteTtl, renewAfter, corsOrigins } = client;
  const inHeader = client.tokenDelivery === 'header';
  const problems = [
    // RFC 6749 §4.4: for clients that can prove who they are. Login has no member for a secret.
    type === 'public' &&
      grants.includes('client_credentials') &&
      'grants: client_credentials is not for public clients',
    type === 'confidential' && grants.includes('password') && 'grants: password is not for confidential clients',
    inHeader && idleTtl > MAX_HEADER_IDLE_TTL_S && 'idle_ttl: a day at most with token_delivery header',
    inHeader && accessTokenTtl !== idleTtl && 'access_token_ttl: with token_delivery header it is the idle_ttl',
    inHeader && renewAfter >= idleTtl && 'renew_after: not shorter than idle_ttl',
    idleTtl > absoluteTtl && 'idle_ttl: longer than absolute_ttl',
    !corsOrigins.every(isOrigin) && 'cors_origins: origins such as https://app.example.com',
  ];
  const detail = problems.find((problem) => problem !== false);
  if (detail !== undefined) throw new Refusal('invalid_request', { detail });
}

/** With header delivery one time to live decides the other. */
function completed(before: Client, changes: Partial<ClientSettings>): Partial<ClientSettings> {
  const { tokenDelivery, accessTokenTtl, idleTtl } = { ...before, ...changes };
  const follows = tokenDelivery === 'header' && changes.accessTokenTtl === undefined && accessTokenTtl !== idleTtl;
  return follows ? { ...changes, accessTokenTtl: idleTtl } : changes;
}

/** Each member with its value before and after; all are settings, and none is a secret. */
const changedMembers = (before: Client, changes: Partial<ClientSettings>) =>
  Object.fromEntries(
    (Object.keys(changes) as (keyof ClientSettings)[])
      .sort()
      .map((name) => [name, { before: before[name], after: changes[name] }]),
  );

/** How often a change is tried again that found the client changed under it. */
const MAX_ATTEMPTS = 5;

const noSuchClient = () => new Refusal('not_found', { detail: 'There is no such client' });

export interface ClientAdministrationParts {
  store: ClientStore;
  revocations: Pick<Revocations, 'enforce'>;
  announcements: Pick<Announcements, 'announce'>;
  clock: Clock;
  random: Random;
}

export function createClientAdministration(parts: ClientAdministrationParts): ClientAdministration {
  const { store, revocations, announcements, clock, random } = parts;
  // Nodes that do not hear of it see it when they look by themselves.
  const tell = () => announcements.announce('clients').catch(() => {});

  async function find(clientId: string): Promise<Client> {
    const client = await store.find(clientId);
    if (client === null) throw noSuchClient();
    return client;
  }

  const event = (name: AuditEvent['event'], clientId: string, { actor, caller }: By, details?: AuditEvent['details']) =>
    auditEvent(name, 'success', clock.now(), caller, {
      actor,
      clientId,
      ...(details === undefined ? {} : { details }),
    });

  return {
    find,
    async list(after, limit) {
      // One more than asked for says whether there are more.
      const found = await store.list(after, limit + 1);
      const items = found.slice(0, limit);
      return { items, next: found.length > limit ? (items.at(-1)?.clientId ?? null) : null };
    },
    async create(fields, by) {
      // RFC 9068 §5: the `sub` of a client's own tokens is its id, and must not be taken for a user's.
      if (isUuid(fields.clientId))
        throw new Refusal('invalid_request', { detail: 'client_id: a UUID could be the id of a user' });
      const made = makeClient(fields, clock.now(), random);
      refuseOddities(made.client);
      if (!(await store.create(made.client, event('client.created', fields.clientId, by))))
        throw new Refusal('client_exists', { detail: `There is a client ${fields.clientId} already` });
      await tell();
      return made;
    },
    async update(clientId, asked, by) {
      // Somebody else may change it between the look and the change: two changes that are well by themselves need not be
      // together, and the event would tell of values that were not there.
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const before = await find(clientId);
        const changes = completed(before, asked);
        const after = { ...before, ...changes };
        refuseOddities(after);
        const changed = changedMembers(before, changes);
        if (await store.update(before, after, event('client.updated', clientId, by, { changed }))) {
          await tell();
          return find(clientId);
        }
      }
      throw new Refusal('overloaded', { retryAfter: 1 });
    },
    async rotateSecret(clientId, by) {
      const client = await find(clientId);
      if (client.type === 'public') throw new Refusal('client_public');
      const secret = newClientSecret(random);
      if (!(await store.setSecret(clientId, sha256(secret), event('client.secret_rotated', clientId, by))))
        throw noSuchClient();
      return { client, secret };
    },
    async delete(clientId, by) {
      const client = await find(clientId);
      if (isSeeded(clientId)) throw new Refusal('client_required');
      if ((await store.delete(clientId, event('client.deleted', clientId, by))) === null) throw noSuchClient();
      await tell();
      await revocations.enforce();
      return client;
    },
  };
}
