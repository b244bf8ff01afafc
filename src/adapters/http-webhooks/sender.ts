/**
 * Webhooks over HTTP. Each is a connection of its own, to an address that was looked at when it was looked up: a name that
 * leads elsewhere the next time (DNS rebinding) gains nothing. Of an answer the status is read, and little else.
 */
import { Resolver } from 'node:dns/promises';
import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { SendError } from '../../domain/webhooks.js';
import type { SendResult, WebhookMessage, WebhookSender } from '../../ports/webhook-sender.js';

/** Milliseconds, for all of it: Standard Webhooks asks receivers to answer at once and work later. */
const TIMEOUT_MS = 10_000;
/** Of the answer's body, before the connection is closed: receivers that say "ok" are not cut off. */
const MAX_BODY_BYTES = 4096;
/** Milliseconds for one question to a name server, and how often it is asked. */
const DNS_TIMEOUT_MS = 2_000;
const DNS_TRIES = 2;

/** The addresses of a name. Rejects, or is empty, when it has none. */
export type Resolve = (hostname: string) => Promise<string[]>;

export interface SenderSettings {
  mayConnect(address: string, url: URL): boolean;
  resolve?: Resolve;
  timeoutMs?: number;
}

/**
 * Asks the name servers itself: the system's own look-up, of a name whose servers do not answer, would hold one of the few
 * threads on which passwords are hashed.
 */
function resolver(): Resolve {
  const dns = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES });
  return async (hostname) => {
    if (/^localhost\.?$/.test(hostname)) return ['127.0.0.1', '::1'];
    const found = await Promise.allSettled([dns.resolve4(hostname), dns.resolve6(hostname)]);
    return found.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  };
}

class NotSent extends Error {
  constructor(readonly why: SendError) {
    super(why);
  }
}

function meaningOf(error: Error & { code?: string }): SendError {
  if (error instanceof NotSent) return error.why;
  const code = error.code ?? '';
  if (/^(HPE_|ERR_HTTP_)/.test(code)) return 'malformed';
  if (/^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_|EPROTO$)/.test(code)) return 'tls';
  return 'unreachable';
}

/** Seconds, or a date (RFC 9110 §10.2.3). */
function secondsOf(retryAfter: string | undefined): number | null {
  if (retryAfter === undefined) return null;
  const seconds = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

export function createWebhookSender(settings: SenderSettings): WebhookSender {
  const { mayConnect, resolve = resolver(), timeoutMs = TIMEOUT_MS } = settings;

  /** Only where the host is a name: an address is connected to as it is. */
  const lookupFor =
    (url: URL): LookupFunction =>
    (hostname, { all }, callback) => {
      resolve(hostname).then(
        (found) => {
          const allowed = found.filter((address) => mayConnect(address, url));
          const addresses = allowed.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
          const [first] = addresses;
          if (first === undefined) callback(new NotSent(found.length === 0 ? 'unresolved' : 'address_refused'), '');
          else if (all) callback(null, addresses);
          else callback(null, first.address, first.family);
        },
        () => callback(new NotSent('unresolved'), ''),
      );
    };

  const isRefused = (url: URL): boolean => {
    const address = url.hostname.replace(/^\[(.*)\]$/, '$1');
    return (/^[\d.]+$/.test(address) || address.includes(':')) && !mayConnect(address, url);
  };

  function post(url: URL, { headers, body }: WebhookMessage): Promise<SendResult> {
    return new Promise((settle) => {
      const options = {
        method: 'POST',
        agent: false,
        // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
        rejectUnauthorized: true,
        lookup: lookupFor(url),
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': 'Keyturn',
        },
      };
      let result: SendResult | null = null;
      const asked = url.protocol === 'https:' ? request(url, options) : plainRequest(url, options);
      const timer = setTimeout(() => asked.destroy(new NotSent('timeout')), timeoutMs);
      asked.on('response', (answer) => {
        result = { status: answer.statusCode ?? 0, retryAfterS: secondsOf(answer.headers['retry-after']) };
        let length = 0;
        answer.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_BODY_BYTES) asked.destroy();
        });
        // The status has said it all.
        answer.on('error', () => {});
      });
      let problem: SendError = 'unreachable';
      asked.on('error', (error) => {
        problem = meaningOf(error);
      });
      asked.on('close', () => {
        clearTimeout(timer);
        settle(result ?? { error: problem });
      });
      asked.end(body);
    });
  }

  return {
    async send(message) {
      const url = new URL(message.url);
      return isRefused(url) ? { error: 'address_refused' } : post(url, message);
    },
  };
}
