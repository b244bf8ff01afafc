/** Webhooks in the life of a node: every node sends what no other one is sending, and tells what an operator can mend. */
import type { Logger } from 'pino';
import type { WebhookReport, WebhookSending } from '../domain/webhook-sending.js';
import { every } from './every.js';

/** Seconds. */
const RUN_S = 1;
const MEASURE_S = 15;
/** What cannot be signed or filled is looked at again and again, and need not be told of each time. Milliseconds, for each webhook. */
const QUIET_MS = 600_000;

type Log = Pick<Logger, 'info' | 'warn' | 'error'>;

const meanings: Record<WebhookReport['news'], [level: keyof Log, message: string]> = {
  failing: ['warn', 'a webhook does not take what it is sent; trying again for three days'],
  recovered: ['info', 'a webhook takes what it is sent again'],
  given_up: ['error', 'a webhook delivery was given up; when its receiver is back: keyturn webhooks retry'],
  disabled: ['error', 'a webhook was disabled: it said it is gone, or took nothing for days; keyturn webhooks update'],
  unsigned: [
    'error',
    'a webhook cannot be signed: its KEK is not in KEYS_DIR; put the file back, or rotate its secret',
  ],
  unfilled: ['error', 'events for a webhook could not be made into deliveries; they wait, and it is tried again'],
  unsettled: ['warn', 'what came of a webhook delivery could not be stored; it may be sent again'],
};

/** `monotonic`: milliseconds since some moment. */
export function webhookTeller(log: Log, monotonic: () => number): (report: WebhookReport) => void {
  const told = new Map<string, number>();
  return ({ news, error, ...about }) => {
    if (news === 'unsigned' || news === 'unfilled') {
      const [now, what] = [monotonic(), `${news} ${about.webhook}`];
      if (now - (told.get(what) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
      told.set(what, now);
    }
    const [level, message] = meanings[news];
    log[level](error === undefined ? about : { ...about, err: error }, message);
  };
}

export function startWebhooks(sending: WebhookSending, log: Log): () => Promise<void> {
  const tell = webhookTeller(log, () => performance.now());
  const failed = (error: unknown) => log.warn({ err: error }, 'could not look after the webhooks; trying again');
  const stops = [every(RUN_S, () => sending.run(tell), failed), every(MEASURE_S, sending.measure, failed)];
  return async () => {
    for (const stop of stops) stop();
    await sending.stop();
  };
}
