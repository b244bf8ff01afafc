import fc from 'fast-check';
import t from 'tap';
import { parseStrictJson, StrictJsonError } from '../../src/domain/strict-json.js';

const parse = (text: string) => parseStrictJson(Buffer.from(text));

t.test('JSON that can be read in one way is read', async (t) => {
  t.same(parse('{"a":[1,{"a":"a"},"{,\\"a\\":"],"b":null}'), { a: [1, { a: 'a' }, '{,"a":'], b: null });
  t.equal(parse('"x"'), 'x');
  t.same(parse('[{"a":1},{"a":2}]'), [{ a: 1 }, { a: 2 }]);
});

t.test('whatever JSON.stringify writes is read as it was', async (t) => {
  const wellFormed = fc.jsonValue({ maxDepth: 8 }).filter((value) => {
    const text = JSON.stringify(value);
    return !/\\ud[89a-f]/i.test(text);
  });
  fc.assert(
    fc.property(wellFormed, (value) => {
      t.same(parse(JSON.stringify(value)), JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 300 },
  );
});

t.test('what two parsers could read in two ways is refused', async (t) => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"x":{"b":1,"b":1}}',
    '{"__proto__":1,"__proto__":2}',
    '[{"a":{"c":[]},"a":{}}]',
    '"\\ud800"',
    '{"\\udc00":1}',
    '{"a":1',
    '',
    '\ufeff{}',
    '{"a":NaN}',
    "{'a':1}",
    '{} {}',
    `${'['.repeat(17)}${']'.repeat(17)}`,
    `${'['.repeat(100_000)}`,
  ]) {
    t.throws(() => parse(text), StrictJsonError, text.slice(0, 40));
  }
  t.throws(() => parseStrictJson(Buffer.from([0x22, 0xff, 0x22])), StrictJsonError, 'not UTF-8');
  t.throws(() => parseStrictJson(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), StrictJsonError, 'a surrogate in UTF-8');
});
