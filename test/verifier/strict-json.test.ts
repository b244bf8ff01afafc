import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { parseStrictJson, StrictJsonError } from '../../src/verifier/strict-json.js';

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

const nested = (depth: number, inner = '', [open, close] = ['[', ']']) =>
  `${open?.repeat(depth)}${inner}${close?.repeat(depth)}`;

const ambiguous = [
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":2}',
  '{"\\u0061":1,"\\u0061":2}',
  '{"":1,"":2}',
  '{"a\\"":1,"a\\u0022":2}',
  '{"\\\\":1,"\\u005c":2}',
  '{"a" :1,"b":{},"a"\n:2}',
  '{"x":{"b":1,"b":1}}',
  '{"x":{"b":1},"x":{"b":1,"c":{"d":":"}}}',
  '{"x":1,"x":{"y":2}}',
  '{"x":{"y":2},"x":1}',
  '{"1":1,"1":2}',
  '{"__proto__":1,"__proto__":2}',
  '{"__proto__":{"a":1},"__pr\\u006fto__":{}}',
  '[{"a":{"c":[]},"a":{}}]',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\\\\\ud800"',
  '{"\\udc00":1}',
  '{"a":["\\uD83D"]}',
  nested(17),
  nested(17, '1', ['{"a":', '}']),
  `[${nested(15, '[],[[]]')}]`,
];

const unambiguous = [
  '{"a":1,"A":2," a":3,"a ":4,"":5}',
  '{"a":{"a":{"a":[{"a":1},{"a":1}]}}}',
  '{"a":"\\"a\\":1,\\"a\\":2"}',
  '{"a":":","b":"{","c":"]","d":"\\\\","e":"\\\\\\""}',
  '{"__proto__":1,"constructor":2,"toString":3,"hasOwnProperty":4}',
  '{"1":1,"01":2,"1.0":3}',
  '{"\\ud83d\\ude00":"😀","é":"\\u00e9","e\\u0301":1}',
  '"\\\\ud800"',
  '[1e999,-0,123456789012345678901234567890,1E+2]',
  ' \t\r\n{ "a" \n:\t[ ] , "b" : { } }\n',
  'null',
  nested(16),
  nested(16, '1', ['{"a":', '}']),
  `[${nested(14, '[],[]')},{}]`,
];

const broken = [
  '',
  ' ',
  '{"a":1',
  '\ufeff{}',
  '{}\ufeff',
  '{"a":NaN}',
  "{'a':1}",
  '{} {}',
  '{"a":1,}',
  '{"a"}',
  '{,}',
  '["a":1]',
  '{"a":01}',
  '"\n"',
  '"\\x"',
  '"\\"',
  '{"a":1}\0',
  nested(100_000).slice(0, 100_000),
];

t.test('what two parsers could read in two ways is refused', async (t) => {
  for (const text of [...ambiguous, ...broken])
    t.throws(() => parse(text), { name: 'StrictJsonError' }, JSON.stringify(text.slice(0, 40)));
  for (const hex of ['22ff22', '22eda08022', '22c0af22', '22e28222', '22f490808022'])
    t.throws(() => parseStrictJson(Buffer.from(hex, 'hex')), StrictJsonError, `not UTF-8: ${hex}`);
});

t.test('what is odd, but has one meaning, is read', async (t) => {
  for (const text of unambiguous) t.same(parse(text), JSON.parse(text), JSON.stringify(text.slice(0, 40)));
});

t.test('what is refused is not quoted', async (t) => {
  for (const text of ['{"secret":1,"secret":2}', '{"secret"}', '"secret\\ud800"'])
    t.throws(() => parse(text), { message: /^(?!.*secret)/ });
});

/** The names of each object in a set of its own: slower, and plainly right. Undefined for what is to be refused. */
function readPlainly(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    const open: (Set<string> | null)[] = [];
    let expectName = false;
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
      if (token.startsWith('"')) {
        const string: string = JSON.parse(token);
        const names = open.at(-1);
        if (!string.isWellFormed() || (expectName && names?.has(string))) return undefined;
        if (expectName) names?.add(string);
      } else if (token === '{' || token === '[') {
        if (open.push(token === '{' ? new Set() : null) > 16) return undefined;
      } else if (token === '}' || token === ']') open.pop();
      expectName = token === '{' || (token === ',' && open.at(-1) !== null);
    }
    return value;
  } catch {
    return undefined;
  }
}

function readStrictly(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    return undefined;
  }
}

const names = ['"a"', '"\\u0061"', '"b"', '""', '"\\""', '"\\u0022"', '"__proto__"', '"1"', '"é"', '"\\udc00"'];
const leaves = [
  '1',
  '-0',
  '1e999',
  'null',
  '""',
  '":"',
  '"{,"',
  '"\\\\"',
  '"\\"a\\":"',
  '"\\ud83d\\ude00"',
  '"\\ud800"',
];
/** JSON in which names come twice now and then. */
const { json } = fc.letrec<{ json: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...leaves),
    fc.array(tie('json'), { maxLength: 3 }).map((texts) => `[${texts.join(',')}]`),
    fc
      .array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(':', ' :\n'), tie('json')), { maxLength: 4 })
      .map((members) => `{${members.map((member) => member.join('')).join(', ')}}`),
  ),
}));
const change = fc.tuple(fc.nat(), fc.nat(4), fc.constantFrom('', ...names, ...leaves, ',', ':', '{', ']', '"', '\\'));
const changed = fc.tuple(json, fc.array(change, { maxLength: 2 })).map(([text, changes]) =>
  changes.reduce((before, [at, removed, added]) => {
    const place = at % (before.length + 1);
    return before.slice(0, place) + added + before.slice(place + removed);
  }, text),
);

t.test('whatever the text is, it is read as by the plain way, or refused as by it', async (t) => {
  const seen = { read: 0, refused: 0 };
  const agrees = (bytes: Uint8Array): boolean => {
    const expected = readPlainly(bytes);
    seen[expected === undefined ? 'refused' : 'read']++;
    return isDeepStrictEqual(readStrictly(bytes), expected);
  };
  const whole = fc.property(json, (text) => agrees(Buffer.from(text)));
  fc.assert(whole, { numRuns: 3_000 });
  t.ok(seen.read > 500 && seen.refused > 500, `of JSON ${seen.read} were read, ${seen.refused} refused`);
  const broken = fc.property(changed, (text) => agrees(Buffer.from(text)));
  fc.assert(broken, { numRuns: 3_000 });
  const badBytes = fc.property(json, fc.nat(), fc.nat(255), (text, at, byte) => {
    const bytes = Buffer.from(text);
    bytes[at % bytes.length] = byte;
    return agrees(bytes);
  });
  fc.assert(badBytes, { numRuns: 1_000 });
});
