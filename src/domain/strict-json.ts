/**
 * JSON that can be read in one way only. `JSON.parse` takes the last of two members with one name where another parser
 * takes the first, so that a check and a use can see different things (RFC 7515 §4, RFC 8725 §2.4); and it lets through
 * bytes that are no UTF-8 and strings that are no text.
 */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How deep arrays and objects may nest; nothing here is deeper than 3. */
const MAX_DEPTH = 16;

/** Its message quotes nothing of the text but a member's name. */
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
  refuseAmbiguity(text);
  return value;
}

/**
 * Goes through the tokens of a text that is known to be JSON. In valid JSON a string is a member's name exactly when an
 * object is open and the last structural character was `{` or `,`.
 */
function refuseAmbiguity(json: string): void {
  const open: (Set<string> | null)[] = [];
  let expectName = false;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    if (token.startsWith('"')) {
      const text: string = JSON.parse(token);
      if (!text.isWellFormed()) throw new StrictJsonError('a string is not well-formed Unicode');
      const names = open.at(-1);
      if (expectName && names) {
        if (names.has(text)) throw new StrictJsonError(`doubled member ${JSON.stringify(text.slice(0, 64))}`);
        names.add(text);
      }
      expectName = false;
    } else if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null);
      if (open.length > MAX_DEPTH) throw new StrictJsonError('nested too deeply');
      expectName = token === '{';
    } else if (token === '}' || token === ']') {
      open.pop();
      expectName = false;
    } else {
      expectName = token === ',' && open.at(-1) !== null;
    }
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
