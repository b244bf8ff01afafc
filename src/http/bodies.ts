/** How bodies are read: strict JSON at `/v1`, forms at `/oauth`, nothing else. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Refusal } from '../domain/errors.js';
import { parseStrictJson } from '../verifier/strict-json.js';

/** Only UTF-8 is understood (RFC 8259 §8.1), said or unsaid. */
function requireUtf8(request: FastifyRequest): void {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(request.headers['content-type'] ?? '')?.[1];
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) throw new Refusal('unsupported_media_type');
}

/** A proxy may announce a body in chunks where there turns out to be none; that is no media type that is not understood. */
function acceptNothing(app: FastifyInstance): void {
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async ({ headers }: FastifyRequest, body: Buffer) => {
    if (headers['content-type'] !== undefined || body.length > 0) throw new Refusal('unsupported_media_type');
  });
}

export function acceptJson(app: FastifyInstance): void {
  acceptNothing(app);
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    requireUtf8(request);
    // No body at all is left to the route's schema.
    return body.length === 0 ? undefined : parseStrictJson(body);
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** RFC 6749 appendix B. Repeated parameters are refused, empty ones count as absent (§3.2). */
export function acceptForms(app: FastifyInstance): void {
  acceptNothing(app);
  const type = 'application/x-www-form-urlencoded';
  app.addContentTypeParser(type, { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    requireUtf8(request);
    const form: Record<string, string> = Object.create(null);
    const seen = new Set<string>();
    for (const pair of decodeForm(body).split('&')) {
      const [name, value] = splitPair(pair);
      if (name === '') continue;
      if (seen.has(name))
        throw new Refusal('invalid_request', {
          detail: `body: repeated parameter ${JSON.stringify(name.slice(0, 64))}`,
        });
      seen.add(name);
      if (value !== '') form[name] = value;
    }
    return form;
  });
}

function decodeForm(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch {
    throw new Refusal('invalid_request', { detail: 'body: not valid UTF-8' });
  }
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf('=');
  const [name, value] = at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
  try {
    return [formDecode(name), formDecode(value)];
  } catch {
    throw new Refusal('invalid_request', { detail: 'body: not a valid form' });
  }
}

/** Throws URIError for what is no percent-encoded UTF-8. Also the encoding of Basic credentials (RFC 6749 §2.3.1). */
export const formDecode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '));
