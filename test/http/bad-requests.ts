/** Requests that must be refused, made from genuine ones by one change each. */
import { METHODS } from 'node:http';
import fc from 'fast-check';
import type { InjectOptions } from 'fastify';
import { badForms, goodForm } from './bad-forms.js';
import { badJson, type Kinds, type Members, type Payload, type Schema, unknownNames } from './bad-json.js';

interface Parameter {
  name: string;
  in: string;
  schema: Schema;
}

export interface Operation {
  requestBody?: { content: Record<string, { schema: Schema }> };
  parameters?: Parameter[];
  security?: Record<string, unknown>[];
  responses: Record<string, unknown>;
}

export type Document = { paths: Record<string, Record<string, Operation>> };
export type Headers = Record<string, string>;

/** A request that the service would carry out, and what makes it refuse the same with other values. */
export interface Genuine {
  path: string;
  method: string;
  operation: Operation;
  /** The path with its parameters filled in. */
  url: string;
  headers: Headers;
  members?: Members;
  takesAnyMethod?: boolean;
  wrong?: Record<string, readonly unknown[]>;
  wrongForms?: readonly Members[];
  wrongHeaders?: readonly Headers[];
}

export interface BadRequest {
  what: string;
  genuine: Genuine;
  request: InjectOptions;
  /** What fast-check shows of it. */
  [fc.toStringMethod](): string;
}

export const JSON_TYPE = 'application/json';
export const FORM_TYPE = 'application/x-www-form-urlencoded';
const orNull = <T>(values: readonly T[]) => (values.length === 0 ? null : fc.constantFrom(...values));

export const contentOf = (operation: Operation): [type: string, schema: Schema] | null => {
  const [entry] = Object.entries(operation.requestBody?.content ?? {});
  return entry === undefined ? null : [entry[0], entry[1].schema];
};

const payloadOf = ({ operation, members }: Genuine): string | undefined => {
  if (members === undefined) return undefined;
  return contentOf(operation)?.[0] === FORM_TYPE ? goodForm(members) : JSON.stringify(members);
};

export function requestOf(genuine: Genuine, change: InjectOptions = {}): InjectOptions {
  const type = contentOf(genuine.operation)?.[0];
  const payload = payloadOf(genuine);
  return {
    method: genuine.method as 'GET',
    url: genuine.url,
    headers: { ...genuine.headers, ...(payload === undefined || type === undefined ? {} : { 'content-type': type }) },
    ...(payload === undefined ? {} : { payload }),
    ...change,
  };
}

const wrongTypes = [
  ...[
    '',
    ' ',
    'json',
    'text/plain',
    'text/json',
    'application/jsonp',
    'application/json-patch+json',
    'application/xml',
  ],
  ...[
    'application/problem+json',
    'application/octet-stream',
    'multipart/form-data; boundary=x',
    'application/json,text/xml',
  ],
  ...[
    'application/ json',
    'application/*',
    '*/*',
    ';',
    'application/json garbage',
    '\u00e9/x',
    'x'.repeat(5000),
    '{}',
    'null',
  ],
];
const wrongCharsets = [
  'utf-16',
  'iso-8859-1',
  'latin1',
  '"utf-16le"',
  'us-ascii',
  'utf-7',
  ' utf-32',
  'utf-8x',
  "'utf-16'",
];

export const badKeys = [
  '',
  ' ',
  'two words',
  'k'.repeat(256),
  'k'.repeat(5000),
  'kl\u00e9',
  'ta\tb',
  '""',
  '"a b"',
  'a, b',
];

const notUuids = (uuid: string): string[] => [
  ...[
    'x',
    '0',
    'null',
    '%00',
    '%20',
    '%2F',
    '%25',
    '%F0%9F%98%80',
    'a'.repeat(101),
    'a'.repeat(5000),
    "'%20OR%201=1--",
  ],
  ...[
    `${uuid}x`,
    `${uuid}%00`,
    `%20${uuid}`,
    uuid.replaceAll('-', ''),
    `urn:uuid:${uuid}`,
    `%7B${uuid}%7D`,
    uuid.slice(1),
  ],
  ...[`${uuid},${uuid}`, uuid.replace(/^./, 'g'), `${uuid}%0A`],
];
const unknownUuids = [
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '0190b6d8-0000-7000-8000-000000000000',
];
const badEncodings = ['%', '%z', '%zz', '%f', '%ff', '%c0%af', '%ed%a0%80', '%u0041'];

/** Headers that change nothing about what a request asks for. */
const noise: fc.Arbitrary<Headers> = fc.oneof(
  fc.constant({}),
  fc.record(
    {
      'x-request-id': fc.constantFrom(
        'req-1',
        'a'.repeat(64),
        'a'.repeat(65),
        '',
        'a b',
        '../../etc',
        '"',
        '<x>',
        '\u00e9',
        'a,b',
      ),
      'user-agent': fc.constantFrom('', 'x'.repeat(9000), '\u00e9\u00ff', '%{x} $(x) {{x}}', '<script>', "' OR 1=1--"),
      'x-forwarded-for': fc.constantFrom('', 'unknown', '1.2.3.4, 5.6.7.8', '::1%lo', 'x'.repeat(3000)),
      accept: fc.constantFrom('', 'text/html', 'application/*;q=x', 'image/png'),
      cookie: fc.constantFrom('a=b', '=', 'x'.repeat(4000)),
      origin: fc.constantFrom('null', 'https://evil.example', 'x'),
      'if-none-match': fc.constantFrom('*', 'W/"x"', '"'),
      'x-http-method-override': fc.constantFrom('DELETE', 'GET'),
    },
    { requiredKeys: [] },
  ),
);

/** Changes to everything but the body. */
function badEnvelopes(genuine: Genuine, others: readonly string[]): Kinds<InjectOptions> {
  const { path, url, operation, headers } = genuine;
  const { parameters = [] } = operation;
  const request = requestOf(genuine);
  const type = contentOf(operation)?.[0];
  const withHeaders = (change: Headers): InjectOptions => ({ ...request, headers: { ...request.headers, ...change } });
  const withUrl = (changed: string): InjectOptions => ({ ...request, url: changed });
  const queries = parameters.filter((one) => one.in === 'query');
  // RFC 6749 §3.2: unknown parameters are ignored there.
  const ignoresQuery = path.startsWith('/oauth/');
  const names = unknownNames.filter((name) => !queries.some((query) => query.name === name));
  const allowed = ['HEAD', ...others.map((method) => method.toUpperCase())];
  const uuid = parameters.find((one) => one.in === 'path' && one.schema.format === 'uuid');
  const withId = (id: string) => withUrl(path.replace(`{${uuid?.name}}`, id));
  // The grant client_credentials has no use for the key.
  const takesKey =
    genuine.members?.refresh_token !== undefined &&
    parameters.some((one) => one.in === 'header' && one.name.toLowerCase() === 'idempotency-key');
  const { authorization: _, ...withoutAuthorization } = headers;

  return {
    'unknown query member': ignoresQuery
      ? null
      : fc
          .tuple(
            fc.constantFrom(...names),
            fc.constantFrom('', '=', '=x', '=%00', '=%zz', '=true', `=${'x'.repeat(4000)}`),
          )
          .map(([name, value]) => withUrl(`${url}?${encodeURIComponent(name)}${value || '=1'}`)),
    'query with a bad escape': ignoresQuery
      ? null
      : fc.constantFrom(...badEncodings).map((bad) => withUrl(`${url}?${bad}=1`)),
    'repeated query member': orNull(queries.map(({ name }) => withUrl(`${url}?${name}=true&${name}=true`))),
    'query member out of range': orNull(
      queries
        .filter(({ schema }) => (schema.anyOf ?? []).some((one) => one.enum !== undefined))
        .flatMap(({ name }) =>
          ['', 'TRUE', '1', 'yes', 'true%00', '%22true%22', 'x'.repeat(4000)].map((v) =>
            withUrl(`${url}?${name}=${v}`),
          ),
        ),
    ),
    'path parameter not a UUID': uuid ? fc.constantFrom(...notUuids(url.slice(path.indexOf('{')))).map(withId) : null,
    'unknown UUID': uuid ? fc.oneof(fc.constantFrom(...unknownUuids), fc.uuid()).map(withId) : null,
    'no such path': fc
      .constantFrom('/-/x', '/-/', ';x=1', '%20', '%00', '.json', '/-/..%2f..%2fetc%2fpasswd', '/-/'.repeat(500))
      .map((tail) => withUrl(`${uuid ? `${url}/-` : url}${tail}`)),
    'path in capitals': path === path.toUpperCase() ? null : fc.constant(withUrl(path.toUpperCase())),
    'path with a bad escape': fc.constantFrom(...badEncodings).map((bad) => withUrl(`${url}/${bad}`)),
    'another method': genuine.takesAnyMethod
      ? null
      : fc
          .constantFrom(...METHODS.filter((method) => !allowed.includes(method)))
          .map((method) => ({ ...request, method: method as 'GET' })),
    'another content type': type
      ? fc
          .constantFrom(...wrongTypes, type === JSON_TYPE ? FORM_TYPE : JSON_TYPE)
          .map((wrong) =>
            request.payload === undefined
              ? { ...withHeaders({ 'content-type': wrong }), payload: '{}' }
              : withHeaders({ 'content-type': wrong }),
          )
      : null,
    'no content type': type ? fc.constant({ ...request, headers, payload: request.payload ?? '{}' }) : null,
    'another charset': type
      ? fc.constantFrom(...wrongCharsets).map((charset) => ({
          ...withHeaders({ 'content-type': `${type}; charset=${charset}` }),
          payload: request.payload ?? '{}',
        }))
      : null,
    'body where there is none':
      genuine.method === 'DELETE' || (genuine.method === 'POST' && type === undefined)
        ? fc
            .constantFrom<Payload>('{}', 'null', '[]', '{"include_current":true}', '{', '\0', 'x'.repeat(20_000))
            .chain((payload) =>
              fc
                .constantFrom(JSON_TYPE, FORM_TYPE, '')
                .map((wrong) => ({ ...withHeaders({ 'content-type': wrong }), payload })),
            )
        : null,
    'bad Idempotency-Key': takesKey
      ? fc.constantFrom(...badKeys).map((key) => withHeaders({ 'idempotency-key': key }))
      : null,
    'bad credentials': orNull((genuine.wrongHeaders ?? []).map(withHeaders)),
    'no credentials': genuine.wrongHeaders
      ? fc.constant(requestOf({ ...genuine, headers: withoutAuthorization }))
      : null,
  };
}

function badBodies(genuine: Genuine): Kinds<Payload> {
  const content = contentOf(genuine.operation);
  if (content === null || genuine.members === undefined) return {};
  const [type, schema] = content;
  return type === FORM_TYPE
    ? badForms(schema, genuine.members, genuine.wrongForms ?? [])
    : badJson(schema, genuine.members, genuine.wrong ?? {});
}

export function badRequests(all: readonly Genuine[], { paths }: Document): fc.Arbitrary<BadRequest> {
  const arbitraries = all.flatMap((genuine) => {
    const bodies = Object.entries(badBodies(genuine)).map(
      ([what, kind]) => [what, kind?.map((payload) => requestOf(genuine, { payload }))] as const,
    );
    const envelopes = Object.entries(badEnvelopes(genuine, Object.keys(paths[genuine.path] ?? {})));
    return [...bodies, ...envelopes].flatMap(([what, kind]) =>
      !kind ? [] : [fc.tuple(kind, noise).map(([request, extra]) => badRequest(what, genuine, request, extra))],
    );
  });
  return fc.oneof(...arbitraries);
}

const badRequest = (what: string, genuine: Genuine, request: InjectOptions, extra: Headers): BadRequest => {
  const noisy = { ...request, headers: { ...extra, ...request.headers } };
  return { what, genuine, request: noisy, [fc.toStringMethod]: () => `${what}: ${fc.stringify(noisy)}` };
};
