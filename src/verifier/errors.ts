/** What the verifier rejects with, and how a web framework says it. */

/** Each code with its status and what it means (RFC 6750 §3.1). Codes are the service's own, where it has them. */
const codes = {
  token_missing: [401, 'No bearer token was sent'],
  token_malformed: [401, 'The access token is malformed'],
  unsupported_algorithm: [401, 'The access token names an algorithm that is not accepted'],
  unknown_key: [401, 'The access token was signed with a key that is not published'],
  invalid_signature: [401, 'The signature of the access token is wrong'],
  invalid_issuer: [401, 'The access token is of another issuer'],
  invalid_audience: [401, 'The access token is for another audience'],
  token_expired: [401, 'The access token has expired'],
  token_not_yet_valid: [401, 'The access token is not valid yet'],
  token_revoked: [401, 'The access token has been revoked'],
  insufficient_scope: [403, 'The access token does not have the scope that this takes'],
  revocation_unknown: [503, 'Whether the access token has been revoked cannot be said at the moment'],
  keys_unavailable: [503, 'The keys that verify access tokens cannot be had at the moment'],
} as const;

export type VerifyErrorCode = keyof typeof codes;

/** RFC 9457 §4.2.1: without a `type` the title is the status's own. */
const titles = { 401: 'Unauthorized', 403: 'Forbidden', 503: 'Service Unavailable' } as const;

/** Where nothing better is known. Seconds. */
const DEFAULT_RETRY_AFTER_S = 1;

export interface VerifyErrorOptions {
  /** Seconds. */
  retryAfter?: number;
  /** The scope that was asked for, space-separated. */
  scope?: string;
  cause?: unknown;
}

/**
 * Why a token was not accepted. Nothing in it holds any of the token, so that it may be logged and sent.
 *
 * `cause` says what went wrong with the keys or with the feed, for `keys_unavailable` and `revocation_unknown`.
 */
export class VerifyError extends Error {
  override readonly name = 'VerifyError';
  /** The HTTP status: 401, 403 for `insufficient_scope`, 503 for `keys_unavailable` and `revocation_unknown`. */
  readonly status: 401 | 403 | 503;
  /** The header WWW-Authenticate (RFC 6750 §3); null with 503, which says nothing of the token. */
  readonly wwwAuthenticate: string | null;
  /** The header Retry-After, in seconds; null but with 503. */
  readonly retryAfter: number | null;

  constructor(
    /** Stable: programs may go by it. */
    readonly code: VerifyErrorCode,
    options: VerifyErrorOptions = {},
  ) {
    const [status, message] = codes[code];
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.status = status;
    this.wwwAuthenticate = status === 503 ? null : challengeOf(code, options.scope);
    this.retryAfter = status === 503 ? (options.retryAfter ?? DEFAULT_RETRY_AFTER_S) : null;
  }

  /** The headers of the answer, with lower-case names. */
  get headers(): Record<string, string> {
    return {
      'content-type': 'application/problem+json; charset=utf-8',
      'cache-control': 'no-store',
      ...(this.wwwAuthenticate === null ? {} : { 'www-authenticate': this.wwwAuthenticate }),
      ...(this.retryAfter === null ? {} : { 'retry-after': String(this.retryAfter) }),
    };
  }

  /** The body of the answer: a problem document (RFC 9457) as JSON. */
  get body(): string {
    const { status, message: detail, code } = this;
    return JSON.stringify({ title: titles[status], status, detail, code });
  }

  /** The answer, for handlers that speak the Fetch API. */
  toResponse(): Response {
    return new Response(this.body, { status: this.status, headers: this.headers });
  }
}

/** RFC 6750 §3.1: who sent no token is told of no error. */
function challengeOf(code: VerifyErrorCode, scope: string | undefined): string {
  if (code === 'token_missing') return 'Bearer';
  if (code !== 'insufficient_scope') return `Bearer error="invalid_token", error_description="${code}"`;
  return `Bearer error="insufficient_scope", error_description="${code}"${scope ? `, scope="${scope}"` : ''}`;
}
