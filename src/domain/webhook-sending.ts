/**
 * Webhooks on their way: sealed events become deliveries, and deliveries are sent until they are taken or given up. Each
 * node does what no other one is doing.
 */
import type { Clock } from '../ports/clock.js';
import type { Metrics } from '../ports/metrics.js';
import type { Random } from '../ports/random.js';
import type { Claimed, WebhookOutbox } from '../ports/webhook-outbox.js';
import type { SendResult, WebhookSender } from '../ports/webhook-sender.js';
import type { AuditRecord } from './audit-record.js';
import { coalesced } from './coalesced.js';
import type { Ids } from './ids.js';
import { later } from './types.js';
import { settle, type WebhookNews } from './webhook-retries.js';
import type { WebhookSecrets } from './webhook-secrets.js';
import { bodyOf, hostOf, type NewDelivery, signedHeaders, type WebhookEndpoint, wants } from './webhooks.js';

/** Deliveries; with so many pending, an endpoint gets no more until some are taken or given up, and loses none. */
export const MOST_PENDING = 10_000;
/** Batches of events for each endpoint, in one run. */
const ROUNDS = 20;
/** Attempts under way at one time from this node: in all, of one endpoint, and of those that take nothing at the moment. */
const MOST_UNDER_WAY = 50;
const MOST_OF_ONE = 5;
const MOST_FAILING = 20;
const MOST_OF_ONE_FAILING = 1;
/** Several times as long as an attempt may take. Seconds. */
const LEASE_S = 60;
/** When a webhook that this node cannot sign is looked at again; another node may have its KEK. Seconds. */
const UNSIGNED_S = 60;
/** When one that has no room is looked at again: to find out costs a count. Seconds. */
const FULL_S = 10;
/** How long an attempt is waited for when the process ends; the lease brings it back. Milliseconds. */
const STOP_MS = 5_000;
/** More are only "at least so many". */
const MAX_COUNTED = 100_000;

/** What somebody who runs the service may want to know of. */
export interface WebhookReport {
  news: WebhookNews | 'unsigned' | 'unsettled' | 'unfilled';
  webhook: string;
  host?: string;
  delivery?: string;
  result?: SendResult;
  kek?: string;
  error?: unknown;
}

export interface WebhookSendingParts {
  outbox: WebhookOutbox;
  sender: WebhookSender;
  secrets: WebhookSecrets;
  ids: Ids;
  clock: Clock;
  random: Random;
  metrics: Metrics;
}

export interface WebhookSending {
  /** Makes the deliveries that are due to be made, and begins the attempts there is room for. */
  run(report: (report: WebhookReport) => void): Promise<void>;
  /** Resolves when nothing is under way. */
  settled(): Promise<void>;
  /** Begins nothing more; resolves when nothing is under way, or soon. */
  stop(): Promise<void>;
  /** For the metrics. */
  measure(): Promise<void>;
}

export function createWebhookSending(parts: WebhookSendingParts): WebhookSending {
  const { outbox, sender, secrets, ids, clock, random, metrics } = parts;
  const attempts = new Set<Promise<void>>();
  const underWay = new Map<string, number>();
  /** Until when, by endpoint, on the clock that nobody sets. */
  const unsigned = new Map<string, number>();
  const full = new Map<string, number>();
  let failingUnderWay = 0;
  let stopped = false;
  let pumped = Promise.resolve();
  let report: (report: WebhookReport) => void = () => {};

  const remember = (waits: Map<string, number>, id: string, seconds: number) =>
    waits.set(id, clock.monotonic() + seconds * 1000);
  function forget(waits: Map<string, number>): void {
    for (const [id, end] of waits) if (end <= clock.monotonic()) waits.delete(id);
  }

  const deliveriesOf = (endpoint: WebhookEndpoint, events: readonly AuditRecord[]): NewDelivery[] =>
    events
      .filter((event) => wants(endpoint, event))
      .map((event) => ({ id: ids.uuid(), eventId: event.id, event: event.event, body: bodyOf(event) }));

  /** False where there is no more to do now, or it did not go well: a later run tries again. */
  async function fillOne(id: string): Promise<boolean> {
    try {
      const isFilled = await outbox.fill(id, MOST_PENDING, deliveriesOf, clock.now());
      if (isFilled === null) remember(full, id, FULL_S);
      return isFilled === true;
    } catch (error) {
      report({ news: 'unfilled', webhook: id, error });
      return false;
    }
  }

  /** One batch for each in turn, and what there is goes out meanwhile: whoever has far to go keeps nobody waiting. */
  async function fill(behind: readonly string[]): Promise<void> {
    forget(full);
    let left = behind.filter((id) => !full.has(id));
    for (let round = 0; round < ROUNDS && left.length > 0 && !stopped; round++) {
      const more: string[] = [];
      for (const id of left) if (await fillOne(id)) more.push(id);
      left = more;
      await send();
    }
  }

  async function attempt(claimed: Claimed): Promise<void> {
    const { id, body, endpoint } = claimed;
    const at = clock.now();
    const about = { webhook: endpoint.id, host: hostOf(endpoint.url), delivery: id };
    const keys = secrets.open(endpoint, at);
    if (keys === null) {
      report({ news: 'unsigned', ...about, kek: endpoint.secrets.kekId });
      remember(unsigned, endpoint.id, UNSIGNED_S);
      await outbox.release(claimed, at);
      return;
    }
    const headers = signedHeaders(id, body, keys, at);
    const result = await sender.send({ url: endpoint.url, headers, body });
    const chance = (random.bytes(1)[0] ?? 0) / 255;
    const tried = { attempt: claimed.attempt, url: endpoint.url, madeAt: claimed.madeAt };
    const settlement = await outbox.settle(claimed, (now) => settle(now, tried, result, clock.now(), chance));
    if (settlement === null) return;
    const { state } = settlement.delivery;
    metrics.webhookAttempted(state === 'pending' ? 'retried' : state);
    for (const news of settlement.news) report({ news, ...about, result });
  }

  function begin(claimed: Claimed, failing: boolean): void {
    const { id } = claimed.endpoint;
    underWay.set(id, (underWay.get(id) ?? 0) + 1);
    if (failing) failingUnderWay++;
    const running = attempt(claimed)
      // What is not stored is sent again when the lease is over, under the same id.
      .catch((error) => {
        const { endpoint } = claimed;
        const about = { webhook: endpoint.id, host: hostOf(endpoint.url), delivery: claimed.id };
        report({ news: 'unsettled', ...about, error });
      })
      .finally(() => {
        attempts.delete(running);
        const left = (underWay.get(id) ?? 1) - 1;
        if (left === 0) underWay.delete(id);
        else underWay.set(id, left);
        if (failing) failingUnderWay--;
        // There may be more where this came from; should the database not answer, the next run asks again.
        pumped = pump().catch(() => {});
      });
    attempts.add(running);
  }

  /** Begins what there is room for. Those that take nothing have room of their own, and leave the rest to the others. */
  const pump = coalesced(async () => {
    for (const failing of [false, true]) {
      const room = MOST_UNDER_WAY - attempts.size;
      const limit = failing ? Math.min(room, MOST_FAILING - failingUnderWay) : room;
      if (limit <= 0 || stopped) continue;
      const now = clock.now();
      const perEndpoint = failing ? MOST_OF_ONE_FAILING : MOST_OF_ONE;
      const until = later(now, LEASE_S);
      forget(unsigned);
      // For those that cannot be signed there is no room.
      const taken = new Map([...underWay, ...[...unsigned.keys()].map((id) => [id, perEndpoint] as const)]);
      for (const claimed of await outbox.claim({ now, until, failing, limit, perEndpoint, underWay: taken }))
        begin(claimed, failing);
    }
  });

  async function send(): Promise<void> {
    const pumping = pump();
    pumped = pumping.catch(() => {});
    await pumping;
  }

  async function settled(): Promise<void> {
    let before: Promise<void>;
    do {
      before = pumped;
      await Promise.all(attempts);
      await before;
    } while (attempts.size > 0 || pumped !== before);
  }

  return {
    async run(to) {
      report = to;
      const active = await outbox.active();
      await fill(active.filter(({ isBehind }) => isBehind).map(({ id }) => id));
      if (active.length > 0) await send();
    },
    settled,
    async stop() {
      stopped = true;
      await Promise.race([settled(), clock.pause(STOP_MS)]);
    },
    async measure() {
      const { pending, oldest, disabled } = await outbox.backlog(MAX_COUNTED);
      metrics.webhookBacklog(pending, oldest === null ? 0 : Math.max(0, (clock.now() - oldest) / 1000), disabled);
    },
  };
}
