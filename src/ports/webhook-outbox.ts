import type { AuditRecord } from '../domain/audit-record.js';
import type { Instant } from '../domain/types.js';
import type { Settlement } from '../domain/webhook-retries.js';
import type { NewDelivery, WebhookEndpoint } from '../domain/webhooks.js';

/** A delivery that this node is to attempt now. */
export interface Claimed {
  id: string;
  event: string;
  body: string;
  /** Since when it is pending. */
  madeAt: Instant;
  /** 1, 2, 3 …: also what tells this claim from a later one. */
  attempt: number;
  endpoint: WebhookEndpoint;
}

export interface Claim {
  now: Instant;
  /** From then on another node may take over what this one has not settled. */
  until: Instant;
  /** Whether of endpoints that take nothing at the moment, or of all others. */
  failing: boolean;
  limit: number;
  /** At most so many of one endpoint, with those that are under way: their number by endpoint. */
  perEndpoint: number;
  underWay: ReadonlyMap<string, number>;
}

export interface WebhookOutbox {
  /** The endpoints that are not disabled, and whether there are sealed events that they have not been through. */
  active(): Promise<{ id: string; isBehind: boolean }[]>;
  /**
   * Makes deliveries of the next seal's events, as `make` says, and moves the endpoint on, at once or not at all. False
   * where nothing was done: another node is at it, or there is no such seal; null where so many are pending already.
   */
  fill(
    endpointId: string,
    mostPending: number,
    make: (endpoint: WebhookEndpoint, events: readonly AuditRecord[]) => NewDelivery[],
    now: Instant,
  ): Promise<boolean | null>;
  /** What is due and nobody is at, fairly among endpoints; those that are disabled or ask to be left alone have nothing due. */
  claim(claim: Claim): Promise<Claimed[]>;
  /**
   * Stores what came of an attempt, with its audit events, as `decide` says, which may be asked twice; null where somebody
   * else has taken over, or the endpoint is gone.
   */
  settle(claimed: Claimed, decide: (endpoint: WebhookEndpoint) => Settlement): Promise<Settlement | null>;
  /** As if it had not been claimed, but due only then. */
  release(claimed: Claimed, until: Instant): Promise<void>;
  /** Pending deliveries, counted up to `limit`, since when the oldest has been there, and endpoints that are disabled. */
  backlog(limit: number): Promise<{ pending: number; oldest: Instant | null; disabled: number }>;
}
