/**
 * JSON that can be read in one way only. `JSON.parse` takes the last of two members with one name where another parser
 * takes the first, so that a check and a use can see different things (RFC 7515 §4, RFC 8725 §2.4); and it lets through
 * bytes that are no UTF-8 and strings that are no text. The service reads tokens and bodies by this, too: it imports nothing.
 */
export type JsonObject = Record<string, unknown>;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How deep arrays and objects may nest; nothing here is deeper than 3. */
const MAX_DEPTH = 16;

/** Its message quotes nothing of the text. */
export class StrictJsonError extends SyntaxError {
  override readonly name = 'StrictJsonError';
}

/** Throws StrictJsonError. */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new StrictJsonError('not valid UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StrictJsonError('not valid JSON');
  }
  // Of two members with one name, in whatever spelling, the value has one.
  if (membersIn(text) !== membersOf(value)) throw new StrictJsonError('a member is there twice');
  return value;
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Of all objects in a text that is known to be JSON: there is a colon for each, and none elsewhere but in strings. */
function membersIn(json: string): number {
  let members = 0;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case '"':
        at = endOfString(json, at);
        break;
      case ':':
        members++;
        break;
      case '{':
      case '[':
        if (++depth > MAX_DEPTH) throw new StrictJsonError('nested too deeply');
        break;
      case '}':
      case ']':
        depth--;
    }
  }
  return members;
}

/** The place of the quotation mark that ends the string which begins with the one at `start`. */
function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  while (isEscaped(json, end)) end = json.indexOf('"', end + 1);
  return end;
}

function isEscaped(json: string, at: number): boolean {
  let backslashes = 0;
  while (json[at - 1 - backslashes] === '\\') backslashes++;
  return backslashes % 2 === 1;
}

/** Of all objects in a value that is nested no deeper than MAX_DEPTH. */
function membersOf(value: unknown): number {
  if (typeof value === 'string' && !value.isWellFormed())
    throw new StrictJsonError('a string is not well-formed Unicode');
  if (typeof value !== 'object' || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) for (const entry of value) members += membersOf(entry);
  else for (const name of Object.keys(value)) members += 1 + membersOf(name) + membersOf((value as JsonObject)[name]);
  return members;
}
