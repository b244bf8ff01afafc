/** Shapes that several routes share. Every object is closed: unknown members are refused. */

import { type ErrorCode, errorCodes } from '../domain/errors.js';
import { mappings, statusAt } from './errors.js';
import { type TObject, type TProperties, type TSchema, Type } from './type.js';

export const Closed = <T extends TProperties>(properties: T, options = {}): TObject<T> =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** Text that a person typed and others may see: no control characters, which also could not be stored. */
export const shownText = (maxLength: number, description: string) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[^\\p{Cc}\\p{Cs}]*$', description });

export const Email = Type.String({
  minLength: 3,
  maxLength: 320,
  description: 'Compared without regard to case',
  examples: ['ada@example.com'],
});
export const Password = Type.String({
  minLength: 1,
  maxLength: 4096,
  format: 'password',
  description: '8 to 128 characters, normalised (NFKC)',
});
// The format alone would let a `urn:uuid:` before it through (RFC 9562 §4).
export const Uuid = Type.String({ format: 'uuid', maxLength: 36, description: 'UUIDv7' });
export const Timestamp = Type.String({ format: 'date-time', description: 'UTC' });
/** Any string: whether it is a token is for the domain to say, so that every bad one gets the same answer. */
export const RefreshToken = Type.String({ description: 'The one of the latest answer: `ktr_…`' });
export const Scope = Type.String({
  maxLength: 1024,
  pattern: '^[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*$',
  description: 'Blank-separated (RFC 6749 §3.3)',
});
export const ClientId = Type.String({ minLength: 1, maxLength: 128, pattern: '^[\\x21-\\x7e]*$' });
/** The same for one that comes in a header: the library's own check would load as much again as all of the rest. */
export const isClientId = (text: string): boolean => /^[\x21-\x7e]{1,128}$/.test(text);
export const Audience = Type.String({ minLength: 1, maxLength: 256, pattern: '^[\\x21-\\x7e]*$' });

export const TokenResponse = Closed(
  {
    access_token: Type.String({ description: 'A JWT in the profile of RFC 9068' }),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer({ description: 'Seconds' }),
    refresh_token: Type.String({ description: 'Good for one rotation; keep it until the next one has been stored' }),
    refresh_token_expires_in: Type.Integer({ description: 'Seconds' }),
    session_id: Uuid,
    scope: Type.String(),
  },
  { title: 'TokenResponse', description: 'The tokens of the session' },
);

const DeviceToken = Type.String({
  description: '`ktd_…`. Keep it for the next login to this account, beyond the end of the session',
});

/** Of a login: a refresh says no more of the device. */
export const LoginResponse = Closed(
  { ...TokenResponse.properties, device_token: DeviceToken },
  { title: 'LoginResponse', description: 'The tokens of the session' },
);

/** RFC 6749 has no such answer: the token is in the header that ACCESS_TOKEN_HEADER names. */
export const HeaderTokenResponse = Closed(
  { session_id: Uuid, expires_in: Type.Integer({ description: 'Seconds' }), device_token: DeviceToken },
  { title: 'HeaderTokenResponse', description: 'For clients with header delivery' },
);

export const User = Closed(
  {
    id: Uuid,
    email: Type.String(),
    email_verified: Type.Boolean(),
    created_at: Timestamp,
  },
  { title: 'User', description: 'The account' },
);

export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'For the reader; may change' }),
    code: Type.String({ description: 'Stable' }),
    request_id: Type.String(),
    reasons: Type.Optional(
      Type.Array(Type.String(), { description: 'Of `password_rejected`: why the password is not acceptable' }),
    ),
    missing: Type.Optional(Type.Array(Type.String(), { description: 'Of `not_ready`: what the service lacks' })),
  },
  { title: 'Problem', description: 'RFC 9457' },
);

export const OauthError = Type.Object(
  { error: Type.String(), error_description: Type.Optional(Type.String()) },
  { title: 'OAuthError', description: 'RFC 6749 §5.2' },
);

export const NoContent = Type.Null({ description: 'Done' });

export const bearerCodes: ErrorCode[] = (Object.keys(mappings) as ErrorCode[]).filter(
  (code) => mappings[code].status === 401 && mappings[code] === mappings.token_missing,
);

/** Can happen on every route. */
const always: ErrorCode[] = ['invalid_request', 'too_many_requests', 'internal_error', 'overloaded'];
const withBody: ErrorCode[] = ['payload_too_large', 'unsupported_media_type'];
const withStore: ErrorCode[] = ['store_unavailable'];

/** A refresh, at either of its paths. */
export const refreshCodes: ErrorCode[] = [
  'invalid_idempotency_key',
  'idempotency_key_reused',
  'refresh_superseded',
  'refresh_token_reused',
  'invalid_refresh_token',
  'session_revoked',
  'session_expired',
  'password_required',
  'account_disabled',
  'role_required',
  'too_many_attempts',
  'signing_key_unavailable',
];
export const bodyCodes = [...withBody, ...withStore];
/** For routes that take a bearer token (RFC 6750), as OpenAPI says it. */
export const bearerSecurity = [{ bearer: [] }];
export const bearerRouteCodes: ErrorCode[] = [
  ...bearerCodes,
  'revocation_unknown',
  'session_required',
  'too_many_attempts',
  ...withStore,
];

type Describe = (codes: ErrorCode[]) => string;
const byCode: Describe = (codes) => codes.map((code) => `\`${code}\`: ${errorCodes[code]}`).join('\n\n');

/** The token endpoint answers with the errors of RFC 6749, several codes to one of them. */
const byOauthError: Describe = (codes) =>
  [...new Set(codes.map((code) => mappings[code].oauth))]
    .map((error) => {
      const meanings = codes.filter((code) => mappings[code].oauth === error).map((code) => errorCodes[code]);
      return `\`${error}\`: ${meanings.join('. ')}`;
    })
    .join('\n\n');

/** The refusals of a route, by status, for the OpenAPI document: the codes it names and those of every route. */
export function refusals(path: string, ...codes: ErrorCode[]): Record<number, TSchema> {
  return byStatus(codes, (code) => statusAt(path, code), byCode, 'application/problem+json', Problem);
}

export function oauthRefusals(...codes: ErrorCode[]): Record<number, TSchema> {
  const statusOf = (code: ErrorCode) => mappings[code].oauthStatus ?? mappings[code].status;
  return byStatus(codes, statusOf, byOauthError, 'application/json', OauthError);
}

const retryAfter = { 'Retry-After': Type.Integer({ description: 'Seconds' }) };
const headersOf: Record<number, object> = {
  401: { 'WWW-Authenticate': Type.String({ description: 'RFC 9110 §11.6.1, RFC 6750 §3' }) },
  429: retryAfter,
  503: retryAfter,
};

function byStatus(
  codes: ErrorCode[],
  statusOf: (code: ErrorCode) => number,
  describe: Describe,
  type: string,
  schema: TSchema,
) {
  const grouped = new Map<number, ErrorCode[]>();
  for (const code of new Set([...codes, ...always])) {
    grouped.set(statusOf(code), [...(grouped.get(statusOf(code)) ?? []), code]);
  }
  return Object.fromEntries(
    [...grouped].map(([status, list]) => {
      const headers = headersOf[status];
      const response = { description: describe(list), content: { [type]: { schema } } };
      return [status, headers === undefined ? response : { ...response, headers }];
    }),
  ) as unknown as Record<number, TSchema>;
}
