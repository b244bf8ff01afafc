/** What every refusal must look like, whatever it refuses. */
import type { LightMyRequestResponse } from 'fastify';
import { type ErrorCode, errorCodes } from '../../src/domain/errors.js';
import { mappings } from '../../src/http/errors.js';

export interface Answer {
  statusCode: number;
  headers: Readonly<Record<string, unknown>>;
  body: string;
}

const oauthErrors = new Set(Object.values(mappings).map(({ oauth }) => oauth));
const leaks = /\n\s+at |node_modules|\b(src|dist)\/|file:\/\/|\/(tmp|home|usr|work|root)\/|\b[A-Z]\w*Error\b|:\d+:\d+/;

export const isCode = (text: unknown): text is ErrorCode => typeof text === 'string' && Object.hasOwn(errorCodes, text);

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function* problemDocument({ statusCode, headers, body }: Answer): Generator<string> {
  if (!String(headers['content-type']).startsWith('application/problem+json')) yield 'not a problem document';
  const { type, title, status, detail, code, request_id: requestId } = parsed(body);
  if (!isCode(code)) {
    yield `undeclared code ${String(code)}`;
    return;
  }
  if (typeof type !== 'string' || !URL.canParse(type) || !type.endsWith(`#${code}`)) yield 'type';
  if (title !== errorCodes[code]) yield 'title';
  if (status !== statusCode) yield 'status';
  if (typeof detail !== 'string' || detail === '') yield 'detail';
  if (requestId !== headers['x-request-id']) yield 'request_id';
}

/** RFC 6749 §5.2. */
function* oauthError({ headers, body }: Answer): Generator<string> {
  if (!/^application\/json\b/.test(String(headers['content-type']))) yield 'not JSON';
  const { error, error_description: description, ...rest } = parsed(body);
  if (typeof error !== 'string' || !oauthErrors.has(error)) yield `undeclared error ${String(error)}`;
  if (typeof description !== 'string' || !/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(description))
    yield 'error_description';
  if (Object.keys(rest).length > 0) yield 'other members';
}

/** All that is wrong with a refusal; empty if nothing is. */
export function faultsOf(answer: Answer, { path = '', method = 'GET' } = {}): string[] {
  const { statusCode, headers, body } = answer;
  const faults: string[] = [];
  if (statusCode < 400 || statusCode > 499) faults.push(`status ${statusCode}`);
  if (headers['cache-control'] !== 'no-store') faults.push('may be cached');
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(String(headers['x-request-id']))) faults.push('no X-Request-Id');
  if (statusCode === 401 && !headers['www-authenticate']) faults.push('no WWW-Authenticate');
  if (statusCode === 405 && headers.allow === undefined) faults.push('no Allow');
  if (statusCode === 429 && !/^\d+$/.test(String(headers['retry-after']))) faults.push('no Retry-After');
  if (leaks.test(body)) faults.push('shows its inside');
  if (method === 'HEAD') return body === '' ? faults : [...faults, 'a body'];
  return [...faults, ...(path.startsWith('/oauth/') ? oauthError(answer) : problemDocument(answer))];
}

export const answerOf = ({ statusCode, headers, body }: LightMyRequestResponse): Answer => ({
  statusCode,
  headers,
  body,
});
