/** Server-sent events out of bytes that were cut anywhere. */
import fc from 'fast-check';
import t from 'tap';
import { readEvents, type ServerSentEvent } from '../../src/verifier/event-stream.js';
import { HttpFailure } from '../../src/verifier/http.js';

async function* chunksOf(text: string, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  let start = 0;
  for (const length of [...lengths, bytes.length]) {
    yield new Uint8Array(bytes.subarray(start, start + length));
    start += length;
  }
}

async function read(text: string, lengths: readonly number[] = []): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = [];
  for await (const event of readEvents(chunksOf(text, lengths))) events.push(event);
  return events;
}

const current = { type: 'current', id: 'c1', data: '{"a":"ä"}' };
const text = ': hello\n\nevent: current\nid: c1\ndata: {"a":"ä"}\n\n';

t.test('an event is the same, whatever ends its lines', async (t) => {
  for (const end of ['\n', '\r\n', '\r']) {
    // A CR that comes last may be half of a line end, so the event is told when more has come.
    t.same(await read(`${text.replaceAll('\n', end)}:${end}`), [current], JSON.stringify(end));
  }
});

t.test('an event is the same, however its bytes are cut', async (t) => {
  const twice = `\ufeff${text.replaceAll('\n', '\r\n')}:\r\n${text}`;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 80 }), async (lengths) => {
      t.strictSame(await read(twice, lengths), [current, current]);
    }),
    { numRuns: 200, seed: 1 },
  );
  t.same(await read(twice, Array(200).fill(1)), [current, current], 'byte by byte');
});

t.test('an event that is not whole is none', async (t) => {
  for (let length = 0; length < text.length; length++) {
    t.same(await read(text.slice(0, length)), [], `${length} characters`);
  }
});

t.test('fields are read as the standard says', async (t) => {
  t.same(await read('data\n\n'), [{ type: 'message', id: '', data: '' }], 'a field without a value');
  t.same(await read('data:a\ndata:  b\nx: y\n\n'), [{ type: 'message', id: '', data: 'a\n b' }], 'several lines');
  t.same(await read('id: 1\nevent: x\n\ndata: a\n\n'), [{ type: 'message', id: '1', data: 'a' }], 'no data, no event');
  t.same(await read('id: 1\u0000\nretry: 1\ndata: a\n\n'), [{ type: 'message', id: '', data: 'a' }]);
  t.same(await read(':data: a\n:\n\n'), [], 'comments');
});

t.test('lines and events have a bound', async (t) => {
  const long = 'x'.repeat(65_536);
  for (const [name, endless] of [
    ['a line', `data: ${long}`],
    ['a comment', `:${long}`],
    ['an event', `data: ${long.slice(40_000)}\n`.repeat(3)],
  ] as const) {
    await t.rejects(read(endless), HttpFailure, name);
    await t.rejects(read(endless, Array(200).fill(500)), HttpFailure, `${name}, in pieces`);
  }
});
