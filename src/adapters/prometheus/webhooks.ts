/** How webhooks are delivered. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { type WebhookMetrics, webhookOutcomes } from '../../ports/metrics.js';

export function measureWebhooks(registry: Registry): WebhookMetrics {
  const registers = [registry];
  const webhooks = new Counter({
    name: 'keyturn_webhook_attempts_total',
    help: 'Attempts to deliver a webhook, by what came of them',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of webhookOutcomes) webhooks.inc({ outcome }, 0);
  const pendingWebhooks = new Gauge({
    name: 'keyturn_webhook_pending',
    help: 'Webhook deliveries that are neither taken nor given up, counted up to 100,000',
    registers,
  });
  const pendingWebhooksAge = new Gauge({
    name: 'keyturn_webhook_pending_seconds',
    help: 'For how long the oldest of them has been there',
    registers,
  });
  const disabledWebhooks = new Gauge({
    name: 'keyturn_webhook_disabled',
    help: 'Webhooks that are disabled',
    registers,
  });
  return {
    webhookAttempted: (outcome) => webhooks.inc({ outcome }),
    webhookBacklog(pending, oldestS, disabled) {
      pendingWebhooks.set(pending);
      pendingWebhooksAge.set(oldestS);
      disabledWebhooks.set(disabled);
    },
  };
}
