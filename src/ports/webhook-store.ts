import type { AuditEvent, Instant } from '../domain/types.js';
import type {
  Delivery,
  DeliveryState,
  EndpointState,
  NewDelivery,
  SealedSecrets,
  WebhookEndpoint,
} from '../domain/webhooks.js';

/** Each change is one transaction with its audit event. */
export interface WebhookStore {
  /** The oldest first. */
  list(): Promise<WebhookEndpoint[]>;
  find(id: string): Promise<WebhookEndpoint | null>;
  /** It begins with the first seal to come. False where there are `most` endpoints already. */
  create(endpoint: WebhookEndpoint, most: number, audit: AuditEvent): Promise<boolean>;
  /**
   * Resolves to the endpoint as it is now, null where there is none. One that is disabled gives its pending deliveries up;
   * one that is enabled begins again with the first seal to come.
   */
  change(
    id: string,
    decide: (before: WebhookEndpoint) => { changes: Partial<EndpointState>; audit: AuditEvent },
    at: Instant,
  ): Promise<WebhookEndpoint | null>;
  /** Compare and swap. */
  setSecrets(
    endpoint: Pick<WebhookEndpoint, 'id' | 'secrets'>,
    after: { secrets: SealedSecrets; previousUntil: Instant | null },
    audit: AuditEvent,
  ): Promise<boolean>;
  /** With what it has not taken. False where there is none. */
  delete(id: string, audit: AuditEvent): Promise<boolean>;

  /** The newest first: those before `after`. */
  deliveries(endpointId: string, state: DeliveryState | null, after: string | null, limit: number): Promise<Delivery[]>;
  findDelivery(endpointId: string, id: string): Promise<Delivery | null>;

  // Of an endpoint that is there and enabled; else nothing is stored: null, or 0.

  /** A delivery that no event stands behind. */
  addDelivery(endpointId: string, delivery: NewDelivery, at: Instant, audit: AuditEvent): Promise<Delivery | null>;
  /**
   * What has failed or waits for its next attempt, all of it or one, is due as if it were new. Resolves to how many; an
   * event is stored if any.
   */
  retry(
    endpointId: string,
    deliveryId: string | null,
    at: Instant,
    audit: (retried: number) => AuditEvent,
  ): Promise<number>;
}
