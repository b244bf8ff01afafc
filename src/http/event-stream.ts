/** Server-sent events (HTML, 9.2): text that is pushed to whoever reads, no faster than it is read. */
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/** More than this is not kept for somebody who does not read. Bytes; what is in the socket's own buffers comes on top. */
const MAX_BUFFERED_BYTES = 64 * 1024;
/** How long a client waits before it connects again. Milliseconds; for those that are told nothing else. */
const RECONNECT_MS = 1_000;
/** At its end, what is left has so long to be read. Milliseconds. */
const END_MS = 1_000;

export interface EventStream {
  /** The body of the answer. */
  readable: Readable;
  /** Takes it, and says whether more can be taken at once. */
  send(text: string): boolean;
  /** Resolves when more can be taken, or when it is over. */
  drained(): Promise<void>;
  end(): void;
  /** Waits for nobody to read what is left. */
  cut(): void;
}

export const event = (name: string, id: string, data: object): string =>
  `event: ${name}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;

export function createEventStream(response: ServerResponse): EventStream {
  let wake = () => {};
  let isOver = false;
  const readable = new Readable({
    highWaterMark: MAX_BUFFERED_BYTES,
    read: () => wake(),
    destroy(error, done) {
      isOver = true;
      wake();
      done(error);
    },
  });
  // At once, so that the headers go out and the reader knows that he is heard.
  readable.push(`retry: ${RECONNECT_MS}\n\n`);
  return {
    readable,
    send: (text) => !isOver && readable.push(text),
    drained: () =>
      new Promise((resolve) => {
        if (isOver || readable.readableLength < MAX_BUFFERED_BYTES) resolve();
        else wake = resolve;
      }),
    end() {
      if (isOver) return;
      isOver = true;
      readable.push(null);
      wake();
      const timer = setTimeout(() => response.destroy(), END_MS);
      response.once('close', () => clearTimeout(timer));
    },
    cut: () => void response.destroy(),
  };
}
