/**
 * What a compact JWS (RFC 7515 §3.1) has to look like to be an access token (RFC 9068 §2.1), before anything of it is
 * believed. The service reads tokens by this, too.
 */
import { fromBase64url } from './base64url.js';
import { isObject, type JsonObject, parseStrictJson } from './strict-json.js';

/** Characters. Longer than any token that Keyturn issues; bounds the work that a forged one can cause. */
const MAX_TOKEN_LENGTH = 8192;

/** Header parameters that would change what is verified, or by which key (RFC 8725 §3.10). Never fetched, refused. */
const refusedHeaders = ['crit', 'b64', 'zip', 'jwk', 'jku', 'x5u', 'x5c'];

export interface SignedToken {
  token: string;
  signingInput: string;
  signature: Uint8Array;
}

interface Header<Alg> {
  alg: Alg;
  kid: string;
}

/** Nothing of it is to be believed before the signature has been checked. */
export interface ReadToken<Alg> extends Header<Alg> {
  claims: JsonObject;
  signed: SignedToken;
}

export type TokenFlaw = 'token_malformed' | 'unsupported_algorithm';

/** Of tokens with these algorithms. It throws what `flawed` makes. */
export function createTokenReader<Alg extends string>(
  algorithms: readonly Alg[],
  flawed: (flaw: TokenFlaw) => Error,
): (token: string) => ReadToken<Alg> {
  /** All tokens that were signed with one key begin alike. */
  let last: (Header<Alg> & { part: string }) | undefined;

  function headerOf(part: string): Header<Alg> {
    if (last?.part !== part) last = { part, ...readHeader(part) };
    return last;
  }

  function readHeader(part: string): Header<Alg> {
    const header = readPart(part);
    if (typeof header.alg !== 'string') throw flawed('token_malformed');
    const alg = algorithms.find((accepted) => accepted === header.alg);
    if (alg === undefined) throw flawed('unsupported_algorithm');
    const { typ, kid } = header;
    if (typeof typ !== 'string' || !/^(application\/)?at\+jwt$/i.test(typ)) throw flawed('token_malformed');
    if (refusedHeaders.some((name) => Object.hasOwn(header, name))) throw flawed('token_malformed');
    if (typeof kid !== 'string') throw flawed('token_malformed');
    return { alg, kid };
  }

  function readPart(part: string): JsonObject {
    const bytes = fromBase64url(part);
    if (bytes === null) throw flawed('token_malformed');
    try {
      const value = parseStrictJson(bytes);
      if (isObject(value)) return value;
    } catch {
      // Said below; the parser's message is of no use to whoever sent the token.
    }
    throw flawed('token_malformed');
  }

  return (token) => {
    if (token.length > MAX_TOKEN_LENGTH) throw flawed('token_malformed');
    const parts = token.split('.');
    const [headerPart, claimsPart, signaturePart] = parts;
    if (parts.length !== 3 || !headerPart || !claimsPart || signaturePart === undefined)
      throw flawed('token_malformed');
    const { alg, kid } = headerOf(headerPart);
    const claims = readPart(claimsPart);
    const signature = fromBase64url(signaturePart);
    if (signature === null) throw flawed('token_malformed');
    return { alg, kid, claims, signed: { token, signature, signingInput: token.slice(0, token.lastIndexOf('.')) } };
  };
}
