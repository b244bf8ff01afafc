/** Shapes that several routes share. Every object is closed: unknown members are refused. */
import { type TObject, type TProperties, type TSchema, Type } from '@fastify/type-provider-typebox';
import { type ErrorCode, errorCodes } from '../domain/errors.js';
import { mappings, statusAt } from './errors.js';

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
// The format alone takes `urn:uuid:…` too (RFC 9562 §4), which the database does not.
export const Uuid = Type.String({ format: 'uuid', pattern: '^[0-9A-Fa-f-]{36}$', description: 'UUIDv7' });
export const Timestamp = Type.String({ format: 'date-time', description: 'UTC' });
export const RefreshToken = Type.String({
  minLength: 1,
  maxLength: 1024,
  pattern: '^[\\x21-\\x7e]*$',
  description: '`ktr_…`',
});
export const Scope = Type.String({
  maxLength: 1024,
  pattern: '^[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*$',
  description: 'Blank-separated (RFC 6749 §3.3)',
});
export const ClientId = Type.String({ minLength: 1, maxLength: 128, pattern: '^[\\x21-\\x7e]*$' });
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
  { title: 'TokenResponse' },
);

export const User = Closed(
  {
    id: Uuid,
    email: Type.String(),
    email_verified: Type.Boolean(),
    created_at: Timestamp,
  },
  { title: 'User' },
);

export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'For the reader; may change' }),
    code: Type.String({ description: 'Stable' }),
    request_id: Type.String(),
  },
  { title: 'Problem', description: 'RFC 9457' },
);

export const OauthError = Type.Object(
  { error: Type.String(), error_description: Type.Optional(Type.String()) },
  { title: 'OAuthError', description: 'RFC 6749 §5.2' },
);

export const NoContent = Type.Null({ description: 'Done' });

const bearerCodes: ErrorCode[] = (Object.keys(mappings) as ErrorCode[]).filter(
  (code) => mappings[code].status === 401 && mappings[code] === mappings.token_missing,
);

/** Can happen on every route. */
const always: ErrorCode[] = ['invalid_request', 'too_many_requests', 'internal_error', 'overloaded'];
const withBody: ErrorCode[] = ['payload_too_large', 'unsupported_media_type'];
const withStore: ErrorCode[] = ['store_unavailable'];

export const bodyCodes = [...withBody, ...withStore];
export const bearerRouteCodes: ErrorCode[] = [...bearerCodes, 'session_required', ...withStore];

const describe = (codes: ErrorCode[]) => codes.map((code) => `\`${code}\`: ${errorCodes[code]}`).join('\n\n');

/** The refusals of a route, by status, for the OpenAPI document: the codes it names and those of every route. */
export function refusals(path: string, ...codes: ErrorCode[]): Record<number, TSchema> {
  return byStatus(codes, (code) => statusAt(path, code), 'application/problem+json', Problem);
}

export function oauthRefusals(...codes: ErrorCode[]): Record<number, TSchema> {
  return byStatus(codes, (code) => mappings[code].oauthStatus ?? mappings[code].status, 'application/json', OauthError);
}

function byStatus(codes: ErrorCode[], statusOf: (code: ErrorCode) => number, type: string, schema: TSchema) {
  const grouped = new Map<number, ErrorCode[]>();
  for (const code of new Set([...codes, ...always])) {
    grouped.set(statusOf(code), [...(grouped.get(statusOf(code)) ?? []), code]);
  }
  return Object.fromEntries(
    [...grouped].map(([status, list]) => [status, { description: describe(list), content: { [type]: { schema } } }]),
  ) as unknown as Record<number, TSchema>;
}
