/** JSON bodies that a route must refuse, each made from one that it takes by a change that its schema rules out. */
import fc from 'fast-check';

export interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  enum?: unknown[];
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
}

export type Payload = string | Buffer;
export type Kinds<T> = Record<string, fc.Arbitrary<T> | null>;
export type Members = Record<string, unknown>;

/** A member as two JSON texts, since objects cannot hold a name twice or a `__proto__`. */
type Pair = readonly [name: string, value: string];

export const BODY_LIMIT = 16 * 1024;
const json = (value: unknown): string => JSON.stringify(value);
const textOf = (pairs: readonly Pair[]): string => `{${pairs.map((pair) => pair.join(':')).join(',')}}`;
const orNull = <T>(values: readonly T[]) => (values.length === 0 ? null : fc.constantFrom(...values));

/** The variant that is an object, and whether there is one that is null. */
export const objectOf = (schema: Schema): Schema =>
  schema.properties === undefined ? (schema.anyOf?.find((one) => one.properties !== undefined) ?? schema) : schema;
const takesNull = (schema: Schema): boolean => schema.anyOf?.some((one) => one.type === 'null') ?? false;

const valuesByType: Record<string, string[]> = {
  null: ['null'],
  boolean: ['true', 'false'],
  number: ['0', '-1', '1.5', '1e999', '-0', '123456789012345678901234567890'],
  array: ['[]', '["x"]', '[null]', '[[[]]]'],
  object: ['{}', '{"x":"y"}', '{"toString":"x","length":3}', '{"$gt":""}', '{"__proto__":{"x":1}}'],
  string: ['"x"', '""', '"true"', '"0"'],
};
const allValues = Object.values(valuesByType).flat();

const typesOf = ({ type, anyOf, enum: values }: Schema): string[] => [
  ...(type === undefined ? [] : [type === 'integer' ? 'number' : type]),
  ...(anyOf ?? []).flatMap(typesOf),
  ...(type === undefined && values !== undefined ? values.map((value) => typeof value) : []),
];

const wrongTypes = (schema: Schema): string[] => {
  const types = typesOf(schema);
  return types.length === 0 ? [] : Object.keys(valuesByType).filter((type) => !types.includes(type));
};

export const unknownNames = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '', ' ', 'x', 'Email', 'roles'],
  ...['is_admin', '$ref', 'é', 'pass\u0000word', '😀', 'access_token', 'n'.repeat(300), '0', 'email ', 'user.email'],
];

const odd = [
  ' ',
  'a b',
  'é',
  '\0',
  'a\0',
  '\n',
  'a\n',
  '\x7f',
  '"',
  '\\',
  '😀',
  'a\tb',
  '\u2028',
  '\u0085',
  'a\u200bb',
];
/** Texts that a schema's pattern or lengths rule out. */
export function badTexts({ pattern, minLength = 0, maxLength }: Schema): string[] {
  const forbidden = pattern === undefined ? [] : odd.filter((text) => !new RegExp(pattern, 'u').test(text));
  const long = maxLength === undefined ? [] : [maxLength + 1, maxLength + 200].map((length) => 'x'.repeat(length));
  return [...forbidden, ...long, ...(minLength > 0 ? [''] : [])];
}

const loneSurrogates = ['"\\ud800"', '"a\\udfffb"', '"\\ud83d\\ud83d"', '"\\udc00\\ud800"'];
const rawControls = ['"a\0b"', '"\n"', '"\x01"', '"a\tb"', '"\x1f"'];
const notUtf8 = ['ff', 'c0af', 'eda080', 'f8888080', 'e282', 'f4908080', '80', 'fe'].map((hex) =>
  Buffer.from(hex, 'hex'),
);
const escaped = (name: string): string =>
  `"${[...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;

/** `at` of 0 to 1 becomes a whole number from `low` to `high`. */
const scaled = (at: number, low: number, high: number): number => low + Math.round(at * (high - low));
const share = fc.double({ min: 0, max: 1, noNaN: true });

/** Inserts bytes that are UTF-8 nowhere. */
export const withBadBytes = (text: string): fc.Arbitrary<Payload> =>
  fc.tuple(fc.constantFrom(...notUtf8), share).map(([bytes, at]) => {
    const good = Buffer.from(text);
    const offset = scaled(at, 0, good.length);
    return Buffer.concat([good.subarray(0, offset), bytes, good.subarray(offset)]);
  });

/** `wrong` holds, by member, values of the right shape that the route refuses all the same. */
export function badJson(schema: Schema, good: Members, wrong: Record<string, readonly unknown[]>): Kinds<Payload> {
  const { properties = {}, required = [] } = objectOf(schema);
  const pairs: Pair[] = Object.entries(good).map(([name, value]) => [json(name), json(value)]);
  const text = textOf(pairs);
  const names = Object.keys(properties);
  const replaced = (name: string, value: string): string =>
    textOf([...pairs.filter(([other]) => other !== json(name)), [json(name), value]]);
  /** Puts a pair at any place among the others. */
  const added = (pair: Pair, at: number): string => textOf(pairs.toSpliced(scaled(at, 0, pairs.length), 0, pair));
  const perMember = (valuesOf: (schema: Schema) => readonly string[]) =>
    orNull(names.flatMap((name) => valuesOf(properties[name] ?? {}).map((value) => replaced(name, value))));
  const unknown = orNull(unknownNames.filter((name) => !names.includes(name)));
  const nested = (depth: number, [open, close]: readonly [string, string]) => open.repeat(depth) + close.repeat(depth);

  return {
    'member missing': orNull(required.map((name) => textOf(pairs.filter(([other]) => other !== json(name))))),
    'member mistyped': perMember((one) => wrongTypes(one).flatMap((type) => valuesByType[type] ?? [])),
    'member in an array': perMember((one) =>
      wrongTypes(one).includes('array') ? [`[${json(Object.values(good)[0])}]`] : [],
    ),
    'member out of range': perMember((one) => badTexts(one).map(json)),
    'member not acceptable': orNull(
      Object.entries(wrong).flatMap(([name, values]) => values.map((value) => replaced(name, json(value)))),
    ),
    'unknown member':
      unknown &&
      fc
        .tuple(unknown, fc.constantFrom(...allValues), share)
        .map(([name, value, at]) => added([json(name), value], at)),
    'doubled member': fc
      .tuple(fc.constantFrom(...pairs), fc.constantFrom(...allValues, null), fc.boolean(), share)
      .map(([[name, value], other, disguised, at]) =>
        added([disguised ? escaped(JSON.parse(name)) : name, other ?? value], at),
      ),
    'lone surrogate': fc
      .tuple(fc.constantFrom(...names.map(json), '"x"'), fc.constantFrom(...loneSurrogates), fc.boolean())
      .map(([name, value, asName]) => (asName ? textOf([...pairs, [value, '1']]) : replaced(JSON.parse(name), value))),
    'raw control character': fc
      .tuple(fc.constantFrom(...names, 'x'), fc.constantFrom(...rawControls))
      .map(([name, value]) => replaced(name, value)),
    'not an object': fc.constantFrom(
      ...['[]', '"x"', '""', '1', 'true', 'false', `[${text}]`, json(text)],
      ...(takesNull(schema) ? [] : ['null']),
    ),
    'not UTF-8': withBadBytes(text),
    truncated: share.map((at) => text.slice(0, scaled(at, 1, text.length - 1))),
    'not JSON': fc.constantFrom(
      ...['}', ',', 'x', '\0', text, ' null', '//', '/**/'].map((tail) => text + tail),
      ...['\ufeff', ',', '\0', '\v', '/**/', '\u00a0', ")]}'\n"].map((head) => head + text),
      ...[
        '{',
        'undefined',
        'NaN',
        "{'a':1}",
        '{a:1}',
        '{"a":1,}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":.5}',
        '{"a":0x1}',
        '{"a"}',
      ],
    ),
    'nested too deeply': fc
      .tuple(
        fc.constantFrom(...names, 'x'),
        fc.constantFrom(17, 100, 1000, 2500),
        fc.constantFrom(['[', ']'] as const, ['{"x":', '1}'] as const),
      )
      .map(([name, depth, [open, close]]) =>
        replaced(name, close === ']' ? nested(depth, [open, close]) : `${open.repeat(depth)}1${'}'.repeat(depth)}`),
      ),
    'too large': fc.tuple(fc.constantFrom(1, 100, 50_000), fc.boolean()).map(([more, before]) => {
      const blanks = ' '.repeat(BODY_LIMIT - Buffer.byteLength(text) + more);
      return before ? blanks + text : text + blanks;
    }),
  };
}
