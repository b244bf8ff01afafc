/**
 * base64url and JSON that can be read in one way only: what is checked here must be what is used elsewhere (RFC 7515 §2
 * and §4, RFC 8725 §2.4). `JSON.parse` takes the last of two members with one name where another parser takes the first.
 */
import { base64url } from 'jose';

export type JsonObject = Record<string, unknown>;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How deep arrays and objects may nest; nothing in a token is deeper than 3. */
const MAX_DEPTH = 16;

/** Of Node: ten times as fast as what can be had everywhere. */
const { Buffer } = globalThis as { Buffer?: Pick<typeof globalThis.Buffer, 'from'> };

/** Null unless `text` is the canonical spelling of some bytes: no padding, no blanks, no stray bits. */
export function fromBase64url(text: string): Uint8Array | null {
  if (Buffer !== undefined) {
    // It skips what does not belong there, so that the spelling is another one then.
    const bytes = Buffer.from(text, 'base64url');
    return bytes.toString('base64url') === text ? bytes : null;
  }
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
    return isObject(value) && isUnambiguous(text, value) ? value : null;
  } catch {
    return null;
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Whether every member of every object in the text, which is known to be JSON, is in the value that was read from it, and
 * every string is Unicode. A string that a colon follows is a member's name, in valid JSON; of two with one name the value
 * has one.
 */
function isUnambiguous(json: string, value: unknown): boolean {
  let names = 0;
  for (let at = json.indexOf('"'); at !== -1; at = json.indexOf('"', at)) {
    at = endOfString(json, at + 1);
    while (isBlank(json.charCodeAt(at))) at++;
    if (json[at] === ':') names++;
  }
  return names === membersOf(value, 1);
}

const BACKSLASH = '\\';
const isBlank = (code: number): boolean => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

/** The place behind the quotation mark that ends the string whose text begins at `from`. */
function endOfString(json: string, from: number): number {
  let end = json.indexOf('"', from);
  for (;;) {
    let escapes = 0;
    while (json[end - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end + 1;
    end = json.indexOf('"', end + 1);
  }
}

/** Of all objects in it; NaN, which equals nothing, where it is too deep or has a string that is not Unicode. */
function membersOf(value: unknown, depth: number): number {
  if (typeof value === 'string') return value.isWellFormed() ? 0 : Number.NaN;
  if (typeof value !== 'object' || value === null) return 0;
  if (depth > MAX_DEPTH) return Number.NaN;
  if (Array.isArray(value)) return value.reduce((sum: number, entry) => sum + membersOf(entry, depth + 1), 0);
  return Object.entries(value).reduce(
    (sum, [name, entry]) => (name.isWellFormed() ? sum + 1 + membersOf(entry, depth + 1) : Number.NaN),
    0,
  );
}
