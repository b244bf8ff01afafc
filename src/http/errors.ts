/** The one place that knows which status a code becomes, at `/v1` (RFC 9457) and at `/oauth` (RFC 6749 §5.2). */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, errorCodes, Refusal } from '../domain/errors.js';
import { KekProblem } from '../ports/kek-source.js';
import { StrictJsonError } from '../verifier/strict-json.js';

interface Mapping {
  status: number;
  /** The `error` of RFC 6749 §5.2 (or RFC 8707 §2), with its own status where that differs. */
  oauth: string;
  oauthStatus?: number;
}

const request = (status: number): Mapping => ({ status, oauth: 'invalid_request' });
const grant = (status: number): Mapping => ({ status, oauth: 'invalid_grant', oauthStatus: 400 });
const bearer: Mapping = { status: 401, oauth: 'invalid_request' };
const scope: Mapping = { status: 403, oauth: 'insufficient_scope' };
const later = (status: number): Mapping => ({ status, oauth: 'temporarily_unavailable' });

export const mappings: Record<ErrorCode, Mapping> = {
  invalid_request: request(400),
  invalid_idempotency_key: request(400),
  unknown_client: { status: 400, oauth: 'invalid_client', oauthStatus: 401 },
  audience_required: request(400),
  not_found: request(404),
  method_not_allowed: request(405),
  request_timeout: request(408),
  payload_too_large: request(413),
  unsupported_media_type: request(415),
  headers_too_large: request(431),
  email_taken: request(409),
  password_rejected: request(422),
  invalid_credentials: grant(401),
  wrong_password: grant(403),
  account_disabled: grant(401),
  audience_not_allowed: { status: 403, oauth: 'invalid_target', oauthStatus: 400 },
  scope_not_allowed: { status: 403, oauth: 'invalid_scope', oauthStatus: 400 },
  grant_not_allowed: { status: 403, oauth: 'unauthorized_client', oauthStatus: 400 },
  role_required: grant(403),
  session_required: request(403),
  invalid_client: { status: 401, oauth: 'invalid_client' },
  own_account: request(409),
  client_exists: request(409),
  client_required: request(409),
  client_public: request(409),
  webhook_limit: request(409),
  webhook_disabled: request(409),
  delivery_not_failed: request(409),
  unsupported_grant_type: { status: 400, oauth: 'unsupported_grant_type' },
  idempotency_key_reused: { status: 422, oauth: 'invalid_request', oauthStatus: 400 },
  refresh_superseded: grant(409),
  refresh_token_reused: grant(401),
  invalid_refresh_token: grant(401),
  session_revoked: grant(401),
  session_expired: grant(401),
  password_required: grant(401),
  token_missing: bearer,
  token_malformed: bearer,
  unsupported_algorithm: bearer,
  unknown_key: bearer,
  invalid_signature: bearer,
  token_expired: bearer,
  token_not_yet_valid: bearer,
  invalid_issuer: bearer,
  invalid_audience: bearer,
  token_revoked: bearer,
  revocation_unknown: later(503),
  insufficient_scope: scope,
  revocation_pending: later(503),
  token_rejected: request(422),
  invalid_cursor: request(400),
  too_many_streams: later(429),
  key_not_found: request(404),
  key_state_conflict: request(409),
  key_rejected: request(422),
  key_unusable: request(409),
  kek_unusable: request(409),
  too_many_attempts: later(429),
  too_many_requests: later(429),
  overloaded: later(503),
  signing_key_unavailable: later(503),
  store_unavailable: later(503),
  not_ready: later(503),
  internal_error: { status: 500, oauth: 'server_error' },
};

/** Whoever gave the right password has authenticated, and may not come in: 403, where a refresh gets 401. */
export const exceptions: Record<string, Partial<Record<ErrorCode, number>>> = {
  '/v1/login': { account_disabled: 403 },
};

export const statusAt = (path: string, code: ErrorCode): number => exceptions[path]?.[code] ?? mappings[code].status;

const REALM = 'realm="keyturn"';
/** Where a 429 or a 503 says nothing better. Seconds. */
const DEFAULT_RETRY_AFTER_S = 1;

/** Codes that say that a bearer token was sent and is no good (RFC 6750 §3.1). */
const badToken = (code: ErrorCode) => mappings[code] === bearer && code !== 'token_missing';

function challenge(code: ErrorCode): string {
  if (code === 'invalid_client' || code === 'unknown_client') return `Basic ${REALM}`;
  // RFC 9470 §3.
  if (code === 'password_required')
    return `Bearer ${REALM}, error="insufficient_user_authentication", error_description="${code}"`;
  return badToken(code) ? `Bearer ${REALM}, error="invalid_token", error_description="${code}"` : `Bearer ${REALM}`;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Record<string, unknown>;
}

/** The answer to a refusal at a path, which decides its format. */
export function answerTo(refusal: Refusal, path: string, requestId: string, errorsUrl: string): Answer {
  const { code } = refusal;
  const oauth = isOauth(path);
  const { oauth: error, oauthStatus } = mappings[code];
  const status = (oauth ? oauthStatus : undefined) ?? statusAt(path, code);
  // A refusal of a document that may be cached is no such document; 404 and 405 are cacheable by themselves (RFC 9110 §15.1).
  const headers: Record<string, string> = { 'cache-control': 'no-store' };
  if (status === 401) headers['www-authenticate'] = challenge(code);
  // RFC 6750 §3.1.
  if (code === 'insufficient_scope') headers['www-authenticate'] = `Bearer ${REALM}, error="insufficient_scope"`;
  if (status === 429 || status === 503) headers['retry-after'] = String(refusal.retryAfter ?? DEFAULT_RETRY_AFTER_S);
  if (oauth) {
    headers['content-type'] = 'application/json; charset=utf-8';
    return { status, headers, body: { error, error_description: oauthText(refusal.detail) } };
  }
  headers['content-type'] = 'application/problem+json; charset=utf-8';
  const body = {
    type: `${errorsUrl}#${code}`,
    title: errorCodes[code],
    status,
    detail: refusal.detail,
    code,
    request_id: requestId,
    ...refusal.extra,
  };
  return { status, headers, body };
}

/** RFC 6749 §5.2 allows %x20-21 / %x23-5B / %x5D-7E. */
const oauthText = (text: string): string => text.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?');

const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_TYPE: 'unsupported_media_type',
};

/** Makes a refusal of whatever was thrown; null for a fault of the service. */
export function toRefusal(error: FastifyError | Error): Refusal | null {
  if (error instanceof Refusal) return error;
  if (error instanceof StrictJsonError) return new Refusal('invalid_request', { detail: `body: ${error.message}` });
  if (error instanceof KekProblem) return new Refusal('kek_unusable', { detail: error.message, cause: error });
  const { code, validation, validationContext, statusCode } = error as FastifyError;
  if (validation !== undefined)
    return new Refusal('invalid_request', { detail: describe(validation, validationContext) });
  const known = fastifyCodes[code];
  if (known !== undefined) return new Refusal(known);
  const clientsFault = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
  return clientsFault ? new Refusal('invalid_request') : null;
}

/** Names the member and what is expected of it; never its value. */
function describe(validation: NonNullable<FastifyError['validation']>, context: string | undefined): string {
  const [first] = validation;
  const where = context === 'querystring' ? 'query' : (context ?? 'request');
  if (first === undefined) return where;
  const member = first.instancePath.split('/').filter(Boolean).join('.');
  const { additionalProperty, missingProperty } = first.params as Record<string, unknown>;
  if (typeof additionalProperty === 'string')
    return `${where}: unknown member ${JSON.stringify(additionalProperty.slice(0, 64))}`;
  if (typeof missingProperty === 'string') return `${where}: ${missingProperty} is required`;
  return `${where}${member === '' ? '' : ` ${member}`}: ${first.message ?? 'not as expected'}`;
}

const isOauth = (path: string): boolean => path === '/oauth' || path.startsWith('/oauth/');

/** Sends a refusal in the format of the path, and notes its code for the request log. */
export function sendRefusal(
  req: FastifyRequest,
  reply: FastifyReply,
  refusal: Refusal,
  errorsUrl: string,
): FastifyReply {
  const { status, headers, body } = answerTo(refusal, req.url.split('?', 1)[0] ?? '', req.id, errorsUrl);
  req.outcome.code = refusal.code;
  if (refusal.subject) Object.assign(req.outcome.subject, refusal.subject);
  return reply.code(status).headers(headers).serializer(JSON.stringify).send(body);
}
