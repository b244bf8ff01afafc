import type { SendError } from '../domain/webhooks.js';

export interface WebhookMessage {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Of an answer nothing is known but this: what it says is for nobody here to read. */
export type SendResult = { status: number; retryAfterS: number | null } | { error: SendError };

export interface WebhookSender {
  /** One POST, within 10 seconds, to an address that may be connected to; redirects are answers like others. Never rejects. */
  send(message: WebhookMessage): Promise<SendResult>;
}
