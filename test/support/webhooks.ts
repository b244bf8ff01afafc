/** Receivers of webhooks, and the nodes that send to them. */
import type { Test } from 'tap';
import { createWebhookSender } from '../../src/adapters/http-webhooks/sender.js';
import { createAuditSeals } from '../../src/adapters/postgres/audit-seals.js';
import { createWebhookAddresses } from '../../src/domain/webhook-addresses.js';
import type { WebhookReport } from '../../src/domain/webhook-sending.js';
import type { WebhookSender } from '../../src/ports/webhook-sender.js';
import { type PlainAnswer, type Seen, startPlainServer } from './plain-servers.js';
import type { TestService } from './service.js';

/** Milliseconds. Long enough for every receiver that answers at all. */
const TIMEOUT_MS = 1_000;
const { mayConnect } = createWebhookAddresses({ networks: [], production: false });
const real = createWebhookSender({ mayConnect, timeoutMs: TIMEOUT_MS });

export interface HoldableSender extends WebhookSender {
  /** What is sent to this URL comes in, and its answer is not heard of until the hold is over. */
  hold(url: string): () => void;
}

export function holdableSender(): HoldableSender {
  const held = new Map<string, Promise<void>>();
  return {
    async send(message) {
      const result = await real.send(message);
      await held.get(message.url);
      return result;
    },
    hold(url) {
      let release = () => {};
      held.set(url, new Promise((resolve) => (release = resolve)));
      return () => {
        release();
        held.delete(url);
      };
    },
  };
}

/** Resolves when it is so: what is waited for comes over a socket. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export interface Receiver {
  url: string;
  seen: Seen[];
  /** How it answers from now on. */
  answer(how: PlainAnswer): void;
  /** The types of what came, in order, which is forgotten. */
  types(): string[];
  take(): Seen[];
}

export async function startReceiver(t: Test): Promise<Receiver> {
  let how: PlainAnswer = {};
  const { port, seen } = await startPlainServer(t, () => how);
  const take = () => seen.splice(0);
  return {
    url: `http://127.0.0.1:${port}/hook`,
    seen,
    answer(next) {
      how = next;
    },
    take,
    types: () => take().map(({ body }) => JSON.parse(body).type),
  };
}

/** What the jobs of a node do: seals, makes deliveries, and sends what is due until nothing is. */
export function webhooksOf({ services, database }: TestService) {
  const seals = createAuditSeals(database);
  const reports: WebhookReport[] = [];
  const begin = () => services.webhookSending.run((report) => reports.push(report));
  /** All that there is: what somebody is still at takes more than one go. */
  async function seal(): Promise<void> {
    do await services.auditSealing.run();
    while ((await seals.backlog(1)).events > 0);
  }
  return {
    begin,
    seal,
    async run(): Promise<string[]> {
      await seal();
      await begin();
      await services.webhookSending.settled();
      return reports.splice(0).map(({ news }) => news);
    },
  };
}
