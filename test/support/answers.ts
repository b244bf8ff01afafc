/** What every refusal has to look like, in one assertion each. */
import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { codeOf } from './service.js';

const ISSUER_DOCS = 'http://127.0.0.1:3000/docs/errors#';

/** RFC 9457. */
export function isProblem(t: Test, response: LightMyRequestResponse, status: number, code: string, what = code): void {
  const body = response.json();
  t.match(
    {
      status: response.statusCode,
      type: response.headers['content-type'],
      cache: response.headers['cache-control'],
      body,
    },
    {
      status,
      type: /^application\/problem\+json; charset=utf-8$/,
      cache: 'no-store',
      body: {
        type: ISSUER_DOCS + code,
        title: String,
        status,
        detail: String,
        code,
        request_id: response.headers['x-request-id'],
      },
    },
    what,
  );
}

/** A bearer check that failed. RFC 6750 §3.1: who sent no token is told of no error. */
export function isBearerRefusal(t: Test, response: LightMyRequestResponse, code: string, what = code): void {
  isProblem(t, response, 401, code, what);
  const error = code === 'token_missing' ? '' : `, error="invalid_token", error_description="${code}"`;
  t.equal(response.headers['www-authenticate'], `Bearer realm="keyturn"${error}`, `${what}: challenge`);
}

/** RFC 6749 §5.2. */
export function isOauthError(
  t: Test,
  response: LightMyRequestResponse,
  status: number,
  error: string,
  what = error,
): void {
  t.match(
    { status: response.statusCode, type: response.headers['content-type'], cache: response.headers['cache-control'] },
    { status, type: /^application\/json/, cache: 'no-store' },
    what,
  );
  const { error_description: description, ...rest } = response.json();
  t.strictSame(rest, { error }, `${what}: error`);
  t.match(description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, `${what}: description`);
  if (status === 401) t.equal(response.headers['www-authenticate'], 'Basic realm="keyturn"', `${what}: challenge`);
}

/** Status and code of a problem, or the status alone. */
export const outcomeOf = (response: LightMyRequestResponse): string =>
  response.statusCode < 400 ? String(response.statusCode) : `${response.statusCode} ${codeOf(response)}`;
