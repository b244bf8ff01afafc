/**
 * base64url and JSON that can be read in one way only: what is checked here must be what is used elsewhere (RFC 7515 §2
 * and §4, RFC 8725 §2.4). `JSON.parse` takes the last of two members with one name where another parser takes the first.
 */
import { base64url } from 'jose';

export type JsonObject = Record<string, unknown>;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How deep arrays and objects may nest; nothing in a token is deeper than 3. */
const MAX_DEPTH = 16;

/** Null unless `text` is the canonical spelling of some bytes: no padding, no blanks, no stray bits. */
export function fromBase64url(text: string): Uint8Array | null {
  try {
    const bytes = base64url.decode(text);
    return base64url.encode(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}

/** Null unless `part` is an object in base64url that every reader reads alike. */
export function readObject(part: string): JsonObject | null {
  const bytes = fromBase64url(part);
  if (bytes === null) return null;
  try {
    const text = utf8.decode(bytes);
    const value: unknown = JSON.parse(text);
    return isObject(value) && isUnambiguous(text) ? value : null;
  } catch {
    return null;
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Goes through the tokens of a text that is known to be JSON. In valid JSON a string is a member's name exactly when an
 * object is open and the last structural character was `{` or `,`.
 */
function isUnambiguous(json: string): boolean {
  const open: (Set<string> | null)[] = [];
  let expectName = false;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    if (token.startsWith('"')) {
      const text: string = JSON.parse(token);
      if (!text.isWellFormed()) return false;
      const names = open.at(-1);
      if (expectName && names) {
        if (names.has(text)) return false;
        names.add(text);
      }
      expectName = false;
    } else if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null);
      if (open.length > MAX_DEPTH) return false;
      expectName = token === '{';
    } else if (token === '}' || token === ']') {
      open.pop();
      expectName = false;
    } else {
      expectName = token === ',' && open.at(-1) !== null;
    }
  }
  return true;
}
