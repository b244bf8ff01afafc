import type { AuditEvent, Subject } from './types.js';

/**
 * Every way in which Keyturn refuses, by a stable code. Clients are written against the codes; titles and details may
 * change. Which HTTP status a code becomes is decided in http/errors.ts alone, and docs/errors.md is made from both.
 */
export const errorCodes = {
  // The request itself
  invalid_request: 'The request is malformed',
  invalid_idempotency_key: 'The Idempotency-Key is not 1 to 255 visible ASCII characters',
  unknown_client: 'There is no such client',
  audience_required: 'The check has to say which audience the token must be for',
  not_found: 'There is no such thing',
  method_not_allowed: 'The path does not have this method',
  request_timeout: 'The request took too long to arrive',
  payload_too_large: 'The body is larger than 16 KiB',
  unsupported_media_type: 'The body is of a media type that is not understood here',
  headers_too_large: 'The headers are too large',
  // Accounts
  email_taken: 'There is an account with this e-mail',
  password_rejected: 'The password is not acceptable',
  invalid_credentials: 'The e-mail or the password is wrong',
  wrong_password: 'The current password is wrong',
  account_disabled: 'The account is disabled',
  // What a client may ask for
  audience_not_allowed: 'The client may not ask for this audience',
  scope_not_allowed: 'The client may not ask for this scope',
  grant_not_allowed: 'The client may not use this grant',
  role_required: 'This is only for users with a role that this one does not have',
  session_required: 'The token belongs to no session',
  invalid_client: 'The client could not be authenticated',
  unsupported_grant_type: 'The grant type is not supported',
  // Administration
  own_account: 'Administrators do not disable, delete or demote themselves',
  client_exists: 'There is a client with this id already',
  client_required: 'Every installation has this client; it is not deleted',
  client_public: 'A public client has no secret',
  webhook_limit: 'There are as many webhooks as there may be',
  webhook_disabled: 'The webhook is disabled',
  delivery_not_failed: 'The delivery was taken, or is about to be sent',
  // Refresh (tokens.md in the order of its table)
  idempotency_key_reused: 'The Idempotency-Key was already used for another token of this session',
  refresh_superseded: 'This is a late duplicate of a refresh that was answered',
  refresh_token_reused: 'An old refresh token was used again; the session has been ended',
  invalid_refresh_token: 'The refresh token is not valid',
  session_revoked: 'The session has been ended',
  session_expired: 'The session has expired',
  password_required: 'The session looked stolen: its next refresh at /v1/refresh needs the password',
  // Bearer checks (RFC 6750 §3.1, RFC 8725, RFC 9068 §4)
  token_missing: 'No bearer token was sent',
  token_malformed: 'The access token is malformed',
  unsupported_algorithm: 'The access token names an algorithm that is not accepted',
  unknown_key: 'The access token was signed with a key that is not published',
  invalid_signature: 'The signature of the access token is wrong',
  token_expired: 'The access token has expired',
  token_not_yet_valid: 'The access token is not valid yet',
  invalid_issuer: 'The access token is of another issuer',
  invalid_audience: 'The access token is for another audience',
  token_revoked: 'The access token has been revoked',
  revocation_unknown: 'It cannot be told at the moment whether the access token has been revoked',
  insufficient_scope: 'The access token does not have the scope that this needs',
  // Revocation
  revocation_pending: 'It is stored, and not yet known everywhere; it will be by itself',
  token_rejected: 'The access token is not one that could be revoked',
  invalid_cursor: 'The cursor is not one that this service gave',
  too_many_streams: 'The client follows the feed too often at one time',
  // Signing keys
  key_not_found: 'There is no such signing key',
  key_state_conflict: 'The state of the signing key does not allow this',
  key_rejected: 'The private key is not one that can sign here',
  key_unusable: 'The signing key cannot be opened',
  kek_unusable: 'There is no key-encryption key that may be used',
  // The service
  too_many_attempts: 'Too many failed attempts, from this address or at this account',
  too_many_requests: 'Too many requests, from this address, of this client or of this session',
  overloaded: 'The service has too much to do at the moment',
  signing_key_unavailable: 'The service has no signing key that it may use at the moment',
  store_unavailable: 'The service cannot reach its database at the moment',
  not_ready: 'The service is not ready',
  internal_error: 'The service failed; the failure has been logged',
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface RefusalOptions {
  /** Helps the reader; holds no secret and says no more about an account than the code does. */
  detail?: string;
  /** Seconds after which it makes sense to try again. */
  retryAfter?: number;
  /** Machine-readable particulars, such as the reasons why a password was rejected. */
  extra?: Record<string, unknown>;
  /** Whom it is about; for the log alone. */
  subject?: Subject;
  /** The event that tells more than the code does; for the metrics alone. */
  event?: AuditEvent['event'];
  /** For a secret or a token that was refused though this service once issued it: nobody has guessed at it. */
  genuine?: boolean;
  cause?: unknown;
}

/** A refusal with a stable code. Anything else that is thrown is a fault of the service. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: ErrorCode;
  readonly detail: string;
  readonly retryAfter: number | undefined;
  readonly extra: Record<string, unknown>;
  readonly subject: Subject | undefined;
  readonly event: AuditEvent['event'] | undefined;
  readonly genuine: boolean;

  constructor(code: ErrorCode, options: RefusalOptions = {}) {
    super(code, { cause: options.cause });
    this.code = code;
    this.detail = options.detail ?? errorCodes[code];
    this.retryAfter = options.retryAfter;
    this.extra = options.extra ?? {};
    this.subject = options.subject;
    this.event = options.event;
    this.genuine = options.genuine ?? false;
  }
}

/** Refusals that mean a guess was made at a secret; these alone count as failed attempts. */
const guesses: ReadonlySet<ErrorCode> = new Set([
  'invalid_credentials',
  'wrong_password',
  'invalid_client',
  'invalid_refresh_token',
  'token_malformed',
  'unsupported_algorithm',
  'unknown_key',
  'invalid_signature',
]);

export const isGuess = (error: unknown): error is Refusal =>
  error instanceof Refusal && !error.genuine && guesses.has(error.code);
