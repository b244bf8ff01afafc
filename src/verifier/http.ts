/** Requests to Keyturn: bounded in time and in size, to no other address than the one that was asked. */
import { isObject, type JsonObject } from './strict-json.js';
import type { World } from './time.js';

/** Whoever asks for more is not waited for. Seconds. */
const MAX_RETRY_AFTER_S = 60;
/** Of the body of a refusal, in bytes. */
const MAX_PROBLEM_BYTES = 16_384;

/** An answer that is none, or none that can be used. Its message holds no token. */
export class HttpFailure extends Error {
  override readonly name = 'HttpFailure';

  constructor(
    message: string,
    /** 0 where there was no answer. */
    readonly status = 0,
    /** Of the problem document, if there was one. */
    readonly code: string | null = null,
    /** Seconds; 0 when nothing was said. */
    readonly retryAfter = 0,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? {} : { cause });
  }
}

export interface Get {
  url: string;
  /** For messages: what is asked for. */
  what: string;
  accept: string;
  bearer?: string;
  signal: AbortSignal;
}

/** The answer with status 200, whose body has not been read. Rejects with HttpFailure. */
export async function get({ fetch }: World, { url, what, accept, bearer, signal }: Get): Promise<Response> {
  const headers = { accept, ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }) };
  let response: Response;
  try {
    response = await fetch(url, { headers, redirect: 'error', signal });
  } catch (cause) {
    throw new HttpFailure(`${what} cannot be reached`, 0, null, 0, cause);
  }
  if (response.status === 200) return response;
  const code = await codeOf(response);
  const message = `${what}: the answer was ${response.status}${code === null ? '' : ` ${code}`}`;
  throw new HttpFailure(message, response.status, code, retryAfterOf(response));
}

async function codeOf(response: Response): Promise<string | null> {
  try {
    const { code } = await readJson(response, MAX_PROBLEM_BYTES, '');
    // It gets into messages.
    return typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : null;
  } catch {
    return null;
  }
}

/** Seconds; dates are not understood: Keyturn sends none. */
function retryAfterOf({ headers }: Response): number {
  const asked = headers.get('retry-after') ?? '';
  return /^\d+$/.test(asked) ? Math.min(Number(asked), MAX_RETRY_AFTER_S) : 0;
}

/** Rejects with HttpFailure when the body is no JSON object, longer than `maxBytes`, or breaks off. */
export async function readJson(response: Response, maxBytes: number, what: string): Promise<JsonObject> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > maxBytes) throw new Error(`longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    const value: unknown = JSON.parse(await new Blob(chunks).text());
    if (isObject(value)) return value;
    throw new Error('not an object');
  } catch (cause) {
    throw new HttpFailure(`${what}: the answer cannot be read`, response.status, null, 0, cause);
  }
}
