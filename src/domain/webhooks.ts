/** Webhooks: events of the audit trail, in the form of Standard Webhooks (https://www.standardwebhooks.com, 1.0.0). */
import { createHmac } from 'node:crypto';
import type { AuditRecord } from './audit-record.js';
import { type Instant, seconds } from './types.js';

export type DisabledReason =
  | 'administrator'
  /** It answered 410. */
  | 'gone'
  /** It has taken nothing for days. */
  | 'failing';

/** Sealed together: the secret, and the one before where that still signs. */
export interface SealedSecrets {
  sealed: Uint8Array;
  kekId: string;
}

/** What administrators, or what becomes of deliveries, can change. */
export interface EndpointState {
  url: string;
  /** Names of events, groups of them (`login.*`), or `*`. */
  events: readonly string[];
  description: string | null;
  disabledAt: Instant | null;
  disabledReason: DisabledReason | null;
  /** Since when no attempt has succeeded; null while they do. */
  failingSince: Instant | null;
  /** When the audit trail was last told that a delivery was given up. */
  toldAt: Instant | null;
  /** It has asked to be left alone until then. */
  notBefore: Instant | null;
}

export interface WebhookEndpoint extends EndpointState {
  id: string;
  secrets: SealedSecrets;
  /** Until when the secret before signs too. */
  previousUntil: Instant | null;
  createdAt: Instant;
}

export type DeliveryState = 'pending' | 'delivered' | 'failed';

/** One event for one endpoint. */
export interface NewDelivery {
  /** Stays the same however often it is sent. */
  id: string;
  /** Null for a test. */
  eventId: string | null;
  event: string;
  body: string;
}

/** What became of an attempt where no answer came of it. */
export type SendError =
  /** Its name leads to addresses that webhooks are not sent to. */
  | 'address_refused'
  /** Its name leads nowhere. */
  | 'unresolved'
  | 'unreachable'
  | 'tls'
  | 'timeout'
  /** What came is no HTTP. */
  | 'malformed';

export interface Delivery extends Omit<NewDelivery, 'body'> {
  state: DeliveryState;
  attempts: number;
  madeAt: Instant;
  nextAt: Instant | null;
  lastAt: Instant | null;
  lastStatus: number | null;
  lastError: SendError | null;
}

/** The type of what an administrator sends to try an endpoint; it is in no audit trail. */
export const TEST_EVENT = 'webhook.test';

const covers = (pattern: string, event: string): boolean =>
  pattern === '*' || pattern === event || (pattern.endsWith('.*') && event.startsWith(pattern.slice(0, -1)));

/** What tells of an endpoint is not sent to it: its failures would have failures. */
export const wants = ({ id, events }: Pick<WebhookEndpoint, 'id' | 'events'>, record: AuditRecord): boolean =>
  events.some((pattern) => covers(pattern, record.event)) &&
  !(record.event.startsWith('webhook.') && record.details?.webhook_id === id);

export const bodyOf = ({ event, at, ...data }: Partial<AuditRecord> & Pick<AuditRecord, 'event' | 'at'>): string =>
  JSON.stringify({ type: event, timestamp: at, data });

/** A URL may hold a token of the receiver's, as those of chat services do: this part of it is shown and logged. */
export const hostOf = (url: string): string => new URL(url).host;

/** Ids are UUIDs, and have no full stop in them. */
export function signedHeaders(id: string, body: string, secrets: readonly Uint8Array[], at: Instant) {
  const timestamp = String(seconds(at));
  const sign = (secret: Uint8Array) =>
    `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets.map(sign).join(' '),
  };
}
