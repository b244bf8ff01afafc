/** Receivers of webhooks, and the nodes that send to them. */
import type { Test } from 'tap';
import { createWebhookSender } from '../../src/adapters/http-webhooks/sender.js';
import { createWebhookAddresses } from '../../src/domain/webhook-addresses.js';
import type { WebhookReport } from '../../src/domain/webhook-sending.js';
import type { WebhookSender } from '../../src/ports/webhook-sender.js';
import { type PlainAnswer, type Seen, startPlainServer } from './plain-servers.js';
import type { TestService } from './service.js';

/** Milliseconds. Long enough for every receiver that answers at all. */
const TIMEOUT_MS = 1_000;
const { mayConnect } = createWebhookAddresses({ networks: [], production: false });
export const impatientSender = (): WebhookSender => createWebhookSender({ mayConnect, timeoutMs: TIMEOUT_MS });

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
export function webhooksOf({ services }: TestService) {
  const reports: WebhookReport[] = [];
  const begin = () => services.webhookSending.run((report) => reports.push(report));
  return {
    reports,
    begin,
    async run(): Promise<string[]> {
      await services.auditSealing.run();
      await begin();
      await services.webhookSending.settled();
      return reports.splice(0).map(({ news }) => news);
    },
  };
}
