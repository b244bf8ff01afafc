/** Server-sent events (WHATWG HTML §9.2.6), from bytes that may be cut anywhere. */
import { HttpFailure } from './http.js';

export interface ServerSentEvent {
  /** `message` where the event does not say. */
  type: string;
  /** Of this event, or the last one that had one; empty before. */
  id: string;
  data: string;
}

/** Characters of a line, and of the data of one event: hundreds of times what a revocation has. */
const MAX_LENGTH = 65_536;

const tooLong = (what: string): HttpFailure => new HttpFailure(`the event stream: ${what} is too long`);

/** An event that is not whole when the bytes end is none. Throws HttpFailure when a line or an event is too long. */
export async function* readEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let id = '';
  let type = '';
  let data: string[] = [];
  let length = 0;
  for await (const line of readLines(bytes)) {
    if (line === '') {
      if (data.length > 0) yield { type: type || 'message', id, data: data.join('\n') };
      [type, data, length] = ['', [], 0];
      continue;
    }
    // A comment is a field without a name.
    const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === 'event') type = value;
    else if (name === 'id' && !value.includes('\0')) id = value;
    else if (name === 'data') {
      length += value.length + 1;
      if (length > MAX_LENGTH) throw tooLong('an event');
      data.push(value);
    }
  }
}

async function* readLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of bytes) {
    // A line end is sought in what is new, and in a CR before it.
    let from = Math.max(0, pending.length - 1);
    pending += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (;;) {
      // A CR that comes last may be half of a CRLF.
      const lineEnd = /\r\n|\n|\r(?!$)/g;
      lineEnd.lastIndex = from;
      const found = lineEnd.exec(pending);
      if (found === null) break;
      yield pending.slice(start, found.index);
      start = from = lineEnd.lastIndex;
    }
    pending = pending.slice(start);
    if (pending.length > MAX_LENGTH) throw tooLong('a line');
  }
}
