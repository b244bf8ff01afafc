/**
 * What the routes' schemas are built with: the types are TypeBox's, and so is the JSON Schema that comes of them. TypeBox
 * itself is hundreds of files, 9 MB of a process and a sixth of a second of every start, for what no route here ever says.
 */
import type { Type as TypeBox } from 'typebox';

export type { Static, TObject, TProperties, TSchema } from 'typebox';

type Used =
  | 'Array'
  | 'Boolean'
  | 'Integer'
  | 'Literal'
  | 'Null'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'Partial'
  | 'Record'
  | 'String'
  | 'Union'
  | 'Unknown';

type Schema = Readonly<Record<string, unknown>>;
type Properties = Readonly<Record<string, Schema>>;

/** Not in the schemas themselves, where it would be published. */
const optional = new WeakSet<Schema>();

function mayBeMissing(schema: Schema): Schema {
  const copy = { ...schema };
  optional.add(copy);
  return copy;
}

function object(properties: Properties, options: Schema = {}): Schema {
  const required = Object.entries(properties).flatMap(([name, schema]) => (optional.has(schema) ? [] : [name]));
  return { type: 'object', ...(required.length > 0 && { required }), properties, ...options };
}

const simple =
  (type: string) =>
  (options: Schema = {}): Schema => ({ type, ...options });

const builders: Record<Used, unknown> = {
  Array: (items: Schema, options: Schema = {}) => ({ type: 'array', items, ...options }),
  Boolean: simple('boolean'),
  Integer: simple('integer'),
  Literal: (value: string, options: Schema = {}) => ({ type: typeof value, const: value, ...options }),
  Null: simple('null'),
  Number: simple('number'),
  Object: object,
  Optional: mayBeMissing,
  Partial: ({ properties }: { properties: Properties }, options: Schema = {}) => {
    const missing = Object.entries(properties).map(([name, schema]) => [name, mayBeMissing(schema)]);
    return object(Object.fromEntries(missing), options);
  },
  /** By any name. */
  Record: (_name: Schema, value: Schema, options: Schema = {}) => ({
    type: 'object',
    patternProperties: { '^.*$': value },
    ...options,
  }),
  String: simple('string'),
  Union: (anyOf: readonly Schema[], options: Schema = {}) => ({ anyOf, ...options }),
  Unknown: (options: Schema = {}) => ({ ...options }),
};

export const Type = builders as Pick<typeof TypeBox, Used>;
