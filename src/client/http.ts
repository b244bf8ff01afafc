/** One request to the service, and what its answer means for trying again. */
import { AuthError } from './errors.js';

export interface Answer {
  /** 0 when nothing arrived that the service could have sent. */
  status: number;
  body: Record<string, unknown>;
  /** Seconds. */
  retryAfter: number;
}

export const NO_ANSWER: Answer = { status: 0, body: {}, retryAfter: 0 };

/** Milliseconds. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Whoever asks for more is no service that wants to be used. Seconds. */
const MAX_RETRY_AFTER_S = 3_600;

/** Never rejects. What a captive portal or a broken proxy answers counts as no answer; `success` is what Keyturn says. */
export async function post(
  fetch: typeof globalThis.fetch,
  url: string,
  success: 200 | 204,
  body: object,
  headers?: Record<string, string>,
): Promise<Answer> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      // Tokens are in the body: no cookies, and no other address than the one that was asked.
      credentials: 'omit',
      redirect: 'error',
      signal: controller.signal,
    });
    const retryAfter = secondsToWait(response.headers);
    const { status } = response;
    const parsed = status === 204 ? {} : parse(await response.text());
    const isOurs = response.ok
      ? status === success && (status === 204 || isTokenResponse(parsed))
      : typeof parsed.code === 'string';
    return isOurs ? { status, body: parsed, retryAfter } : { ...NO_ANSWER, retryAfter };
  } catch {
    return NO_ANSWER;
  } finally {
    clearTimeout(timer);
  }
}

/** Keyturn sends seconds; what stands before it may send a date, by its own clock (RFC 9110 §10.2.3). */
function secondsToWait(headers: Headers): number {
  const asked = headers.get('retry-after') ?? '';
  const now = Date.parse(headers.get('date') ?? '') || Date.now();
  const seconds = /^\d+$/.test(asked) ? Number(asked) : Math.ceil((Date.parse(asked) - now) / 1000);
  return Math.min(Math.max(seconds, 0) || 0, MAX_RETRY_AFTER_S);
}

function parse(text: string): Answer['body'] {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

const isTokenResponse = (body: Answer['body']): boolean =>
  typeof body.refresh_token === 'string' && typeof body.access_token === 'string' && Number(body.expires_in) > 0;

export const isTransient = ({ status }: Answer): boolean =>
  status === 0 || status === 408 || status === 429 || status >= 500;

/** The refusal in the service's own words. */
export function errorOf(answer: Answer): AuthError {
  const { status, body, retryAfter } = answer;
  if (status === 0) return unavailable(answer);
  return new AuthError(String(body.code), String(body.detail ?? body.code), status, retryAfter);
}

/** The service cannot be asked now; nothing is lost by it. */
export const unavailable = ({ status, body, retryAfter }: Answer): AuthError =>
  new AuthError('unavailable', `the service cannot answer now: ${body.code ?? 'nothing heard'}`, status, retryAfter);
