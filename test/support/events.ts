/** Somebody who follows the feed, over a socket, and reads no faster than the test does. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import type { App } from '../../src/http/typed.js';

export interface FeedEvent {
  event: string;
  id: string;
  data: Record<string, unknown>;
}

export interface FeedReader {
  response: IncomingMessage;
  /** The next event, however long it takes; null when the stream has ended. */
  next(): Promise<FeedEvent | null>;
  /** All up to and with the next `current`. */
  untilCurrent(): Promise<FeedEvent[]>;
  hangUp(): void;
}

function parsed(block: string): FeedEvent | null {
  const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s, 2)));
  return fields.event === undefined ? null : { event: fields.event, id: fields.id, data: JSON.parse(fields.data) };
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<FeedEvent> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = parsed(block);
      if (event !== null) yield event;
    }
  }
}

/** Listens once; `open` resolves with the head of the answer. */
export async function listening(app: App) {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;

  return async function open(t: Test, token: string, path = '', headers = {}): Promise<FeedReader> {
    const asked = request({
      port,
      host: '127.0.0.1',
      path: `/v1/revocations/stream${path}`,
      headers: { authorization: `Bearer ${token}`, ...headers },
      agent: false,
    });
    t.teardown(() => asked.destroy());
    const answered = once(asked, 'response');
    asked.end();
    const [response]: [IncomingMessage] = (await answered) as [IncomingMessage];
    // What the test ends is no failure of the reader.
    asked.on('error', () => {});
    response.on('error', () => {});
    const events = eventsOf(response);
    const next = async () => {
      const { value, done } = await events.next();
      return done ? null : value;
    };
    return {
      response,
      next,
      async untilCurrent() {
        const read: FeedEvent[] = [];
        for (let event = await next(); event !== null; event = await next()) {
          read.push(event);
          if (event.event === 'current') return read;
        }
        throw new Error('the stream has ended');
      },
      hangUp: () => void asked.destroy(),
    };
  };
}
