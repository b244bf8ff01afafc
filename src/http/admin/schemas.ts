/** What the routes of administration share: how lists are cut into pages, and what every route can refuse. */

import { fromBase64url, toBase64url } from '../../domain/base64url.js';
import { type ErrorCode, Refusal } from '../../domain/errors.js';
import type { Page } from '../../domain/types.js';
import { bearerRouteCodes, bearerSecurity, bodyCodes, refusals } from '../schemas.js';
import { type TSchema, Type } from '../type.js';

const DEFAULT_LIMIT = 50;

export const pageQuery = {
  limit: Type.Optional(
    Type.String({
      pattern: '^([1-9][0-9]?|100)$',
      description: `Entries on a page, 1 to 100; default: ${DEFAULT_LIMIT}`,
    }),
  ),
  cursor: Type.Optional(
    Type.String({ maxLength: 256, pattern: '^[A-Za-z0-9_-]+$', description: 'The `next_cursor` of the page before' }),
  ),
};

export const NextCursor = Type.Union([Type.String(), Type.Null()], {
  description: 'Where the next page begins; null on the last one',
});

export const nextCursor = ({ next }: Page<unknown, string>): string | null => next && toBase64url(Buffer.from(next));

/** What a cursor stands for is for nobody to rely on, so it does not look like anything. */
export function pageOf(query: { limit?: string; cursor?: string }, isAfter: (text: string) => boolean) {
  const limit = query.limit === undefined ? DEFAULT_LIMIT : Number(query.limit);
  if (query.cursor === undefined) return { after: null, limit };
  const after = Buffer.from(fromBase64url(query.cursor) ?? []).toString('latin1');
  if (!isAfter(after)) throw new Refusal('invalid_request', { detail: 'query cursor: not one of this list' });
  return { after, limit };
}

/** A list of things that are told apart by a text without blanks, such as roles or scopes. */
export const listOf = <T extends TSchema>(item: T, description: string, { minItems = 0, maxItems = 50 } = {}) =>
  Type.Array(item, { minItems, maxItems, uniqueItems: true, description });

/** Visible ASCII, as RFC 6749 §3.3 has it for scopes. */
export const Name = Type.String({ minLength: 1, maxLength: 128, pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]*$' });

/** What a route of administration that reads says of itself besides what it takes. */
export const readSchema = <Success extends Record<number, TSchema>>(
  path: string,
  operationId: string,
  summary: string,
  success: Success,
  ...codes: ErrorCode[]
) => ({
  tags: ['admin'],
  operationId,
  summary,
  security: bearerSecurity,
  response: { ...success, ...refusals(path, 'role_required', ...codes, ...bearerRouteCodes) },
});

/** The same for one that changes something. */
export const changeSchema: typeof readSchema = (path, operationId, summary, success, ...codes) =>
  readSchema(path, operationId, summary, success, ...codes, ...bodyCodes);
