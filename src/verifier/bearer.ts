/** The bearer token of a request (RFC 6750 §2.1): in one Authorization header, and nowhere else. */
import { VerifyError } from './errors.js';

/** A `Request` of the Fetch API, or whatever else has its headers. */
export interface FetchRequest {
  readonly headers: { get(name: string): string | null };
}

/** A request of `node:http`, or of a framework that has its headers. */
export interface NodeRequest {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Names and values in turn, as they came: Node keeps the first of two Authorization headers. */
  readonly rawHeaders?: readonly string[];
}

const NAME = 'authorization';

/** Throws VerifyError `token_missing`, or `token_malformed` when there is something else than one token in its place. */
export function bearerOf(request: FetchRequest | NodeRequest): string {
  const values = authorizationsOf(request);
  // Two of them are somebody trying what passes.
  if (values.length > 1) throw new VerifyError('token_malformed');
  const [value = ''] = values;
  if (!/^bearer(\s|$)/i.test(value)) throw new VerifyError('token_missing');
  const token = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i.exec(value)?.[1];
  if (token === undefined) throw new VerifyError('token_malformed');
  return token;
}

function authorizationsOf(request: FetchRequest | NodeRequest): string[] {
  if (isFetchRequest(request)) {
    // It joins several with commas, which no token has.
    const value = request.headers.get(NAME);
    return value === null ? [] : [value];
  }
  const { headers, rawHeaders } = request;
  const values = Object.keys(headers)
    .filter(isName)
    .flatMap((name) => headers[name] ?? []);
  const raw = rawHeaders?.filter((text, index) => index % 2 === 0 && isName(text)) ?? [];
  return raw.length > 1 ? raw : values;
}

const isName = (name: string): boolean => name.length === NAME.length && name.toLowerCase() === NAME;

const isFetchRequest = (request: FetchRequest | NodeRequest): request is FetchRequest =>
  typeof request.headers.get === 'function';
