/** What administrators do with webhooks. Each change leaves an audit event that says who did it, and holds no secret. */
import type { Clock } from '../ports/clock.js';
import type { WebhookStore } from '../ports/webhook-store.js';
import { auditEvent } from './audit.js';
import { Refusal } from './errors.js';
import type { Ids } from './ids.js';
import type { AuditEvent, By, Instant, Page } from './types.js';
import type { WebhookAddresses } from './webhook-addresses.js';
import type { NewSecrets, WebhookSecrets } from './webhook-secrets.js';
import {
  bodyOf,
  type Delivery,
  type DeliveryState,
  type EndpointState,
  hostOf,
  TEST_EVENT,
  type WebhookEndpoint,
} from './webhooks.js';

/** Endpoints; each is gone through for every event. */
export const MOST_ENDPOINTS = 100;
/** How often a change is tried again that found the secrets changed under it. */
const MAX_ATTEMPTS = 5;

export interface NewEndpoint {
  url: string;
  events: readonly string[];
  description: string | null;
}

export interface EndpointChanges extends Partial<NewEndpoint> {
  disabled?: boolean;
}

/** All but `list`, `create` and `rewrap` throw `not_found`. */
export interface WebhookAdministration {
  /** The oldest first. */
  list(): Promise<WebhookEndpoint[]>;
  find(id: string): Promise<WebhookEndpoint>;
  /** The secret is shown here and never again. Throws `webhook_limit`, and `invalid_request` for a URL that is no good. */
  create(endpoint: NewEndpoint, by: By): Promise<{ endpoint: WebhookEndpoint; secret: string }>;
  /** Another URL, and being enabled, is a new beginning: what failed before is forgotten. */
  update(id: string, changes: EndpointChanges, by: By): Promise<WebhookEndpoint>;
  delete(id: string, by: By): Promise<WebhookEndpoint>;
  /** The secret before signs too, for a day. */
  rotateSecret(
    id: string,
    by: By,
  ): Promise<{ endpoint: WebhookEndpoint; secret: string; previousUntil: Instant | null }>;
  /** Puts a test among the deliveries. Throws `webhook_disabled`. */
  test(id: string, by: By): Promise<Delivery>;
  /** The newest first. */
  deliveries(
    id: string,
    state: DeliveryState | null,
    after: string | null,
    limit: number,
  ): Promise<Page<Delivery, string>>;
  /** Sends again now what has failed or waits to be tried again, all of it or one. Throws `webhook_disabled`, `delivery_not_failed`. */
  retry(id: string, deliveryId: string | null, by: By): Promise<number>;
  /** Seals every secret under the newest KEK; one that cannot be opened is refused with `key_unusable`, before any is. */
  rewrap(by: By): Promise<void>;
}

export interface WebhookAdministrationParts {
  store: WebhookStore;
  secrets: WebhookSecrets;
  addresses: WebhookAddresses;
  clock: Clock;
  ids: Ids;
}

const noSuchWebhook = () => new Refusal('not_found', { detail: 'There is no such webhook' });
const noSuchDelivery = () => new Refusal('not_found', { detail: 'There is no such delivery' });

/** As an audit event may show them: of a URL the host alone. */
const shown = ({ url, events, description, disabledAt }: EndpointState) => ({
  host: hostOf(url),
  events: [...events],
  description,
  disabled: disabledAt !== null,
});

function changedMembers(before: EndpointState, after: EndpointState): Record<string, unknown> {
  const [from, to] = [shown(before), shown(after)] as Record<string, unknown>[];
  const names = Object.keys(from ?? {}).filter((name) => JSON.stringify(from?.[name]) !== JSON.stringify(to?.[name]));
  const changed = Object.fromEntries(names.map((name) => [name, { before: from?.[name], after: to?.[name] }]));
  return before.url !== after.url && changed.host === undefined ? { ...changed, url: 'changed' } : changed;
}

const newBeginning = { failingSince: null, toldAt: null, notBefore: null };

export function createWebhookAdministration(parts: WebhookAdministrationParts): WebhookAdministration {
  const { store, secrets, addresses, clock, ids } = parts;

  async function find(id: string): Promise<WebhookEndpoint> {
    const endpoint = await store.find(id);
    if (endpoint === null) throw noSuchWebhook();
    return endpoint;
  }

  async function findEnabled(id: string): Promise<WebhookEndpoint> {
    const endpoint = await find(id);
    if (endpoint.disabledAt !== null) throw new Refusal('webhook_disabled');
    return endpoint;
  }

  function refuseBadUrl(url: string): void {
    const problem = addresses.problemWith(url);
    if (problem !== null) throw new Refusal('invalid_request', { detail: `url: ${problem}` });
  }

  const event = (name: AuditEvent['event'], webhookId: string, { actor, caller }: By, details: object = {}) =>
    auditEvent(name, 'success', clock.now(), caller, { actor, details: { webhook_id: webhookId, ...details } });

  /** Somebody else may change the secrets between the look and the change. */
  async function swapSecrets(
    id: string,
    make: (endpoint: WebhookEndpoint) => Omit<NewSecrets, 'shown'>,
    name: AuditEvent['event'],
    by: By,
  ): Promise<WebhookEndpoint> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const endpoint = await find(id);
      const after = make(endpoint);
      const details = { from: endpoint.secrets.kekId, to: after.secrets.kekId };
      if (await store.setSecrets(endpoint, after, event(name, id, by, details))) return { ...endpoint, ...after };
    }
    throw new Refusal('overloaded', { retryAfter: 1 });
  }

  function resealed(endpoint: WebhookEndpoint) {
    const again = secrets.reseal(endpoint);
    if (again === null)
      throw new Refusal('key_unusable', {
        detail: `The secret of the webhook ${endpoint.id} cannot be opened with the KEK ${endpoint.secrets.kekId}; rotate it`,
      });
    return { secrets: again, previousUntil: endpoint.previousUntil };
  }

  return {
    list: store.list,
    find,
    async create({ url, events, description }, by) {
      refuseBadUrl(url);
      const id = ids.uuid();
      const made = secrets.make(id);
      const endpoint: WebhookEndpoint = {
        id,
        url,
        events,
        description,
        secrets: made.secrets,
        previousUntil: null,
        createdAt: clock.now(),
        disabledAt: null,
        disabledReason: null,
        ...newBeginning,
      };
      const audit = event('webhook.created', id, by, { host: hostOf(url), events: [...events] });
      if (!(await store.create(endpoint, MOST_ENDPOINTS, audit))) throw new Refusal('webhook_limit');
      return { endpoint, secret: made.shown };
    },
    async update(id, { disabled, ...changes }, by) {
      if (changes.url !== undefined) refuseBadUrl(changes.url);
      const at = clock.now();
      const changed = await store.change(
        id,
        (before) => {
          const isEnabled = disabled === false && before.disabledAt !== null;
          const isDisabled = disabled === true && before.disabledAt === null;
          const isMoved = changes.url !== undefined && changes.url !== before.url;
          const all: Partial<EndpointState> = {
            ...changes,
            ...(isDisabled ? { disabledAt: at, disabledReason: 'administrator' } : {}),
            ...(isEnabled ? { disabledAt: null, disabledReason: null } : {}),
            ...(isEnabled || isMoved ? newBeginning : {}),
          };
          const audit = event('webhook.updated', id, by, { changed: changedMembers(before, { ...before, ...all }) });
          return { changes: all, audit };
        },
        at,
      );
      if (changed === null) throw noSuchWebhook();
      return changed;
    },
    async delete(id, by) {
      const endpoint = await find(id);
      if (!(await store.delete(id, event('webhook.deleted', id, by, { host: hostOf(endpoint.url) }))))
        throw noSuchWebhook();
      return endpoint;
    },
    async rotateSecret(id, by) {
      let secret = '';
      const rotate = (before: WebhookEndpoint) => {
        const { shown, ...rest } = secrets.rotate(before, clock.now());
        secret = shown;
        return rest;
      };
      const endpoint = await swapSecrets(id, rotate, 'webhook.secret_rotated', by);
      return { endpoint, secret, previousUntil: endpoint.previousUntil };
    },
    async test(id, by) {
      await findEnabled(id);
      const at = clock.now();
      const delivery = {
        id: ids.uuid(),
        eventId: null,
        event: TEST_EVENT,
        body: bodyOf({ event: TEST_EVENT, at: new Date(at).toISOString(), actor: by.actor }),
      };
      const added = await store.addDelivery(id, delivery, at, event('webhook.tested', id, by));
      if (added === null) throw new Refusal('webhook_disabled');
      return added;
    },
    async deliveries(id, state, after, limit) {
      await find(id);
      // One more than asked for says whether there are more.
      const found = await store.deliveries(id, state, after, limit + 1);
      const items = found.slice(0, limit);
      return { items, next: found.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
    async retry(id, deliveryId, by) {
      await findEnabled(id);
      const retried = await store.retry(id, deliveryId, clock.now(), (count) =>
        event('webhook.retried', id, by, { deliveries: count, ...(deliveryId && { delivery_id: deliveryId }) }),
      );
      if (retried > 0 || deliveryId === null) return retried;
      if ((await store.findDelivery(id, deliveryId)) === null) throw noSuchDelivery();
      throw new Refusal('delivery_not_failed');
    },
    async rewrap(by) {
      const newest = secrets.newestKekId();
      const due = (await store.list()).filter(({ secrets: { kekId } }) => kekId !== newest);
      for (const endpoint of due) resealed(endpoint);
      for (const { id } of due) {
        await swapSecrets(id, resealed, 'webhook.rewrapped', by).catch((error) => {
          // Deleted meanwhile.
          if (!(error instanceof Refusal && error.code === 'not_found')) throw error;
        });
      }
    },
  };
}
