import t from 'tap';
import { Type as TypeBox } from 'typebox';
import { Type } from '../../src/http/type.js';

/** Everything that a route can say, said by `type`. */
function said(type: typeof Type) {
  const text = type.String({ maxLength: 3, pattern: '^a' });
  const whole = type.Object({ text, may: type.Optional(text) }, { title: 'Whole', additionalProperties: false });
  return {
    text,
    whole,
    ...{
      true: type.Boolean(),
      integer: type.Integer({ minimum: 1 }),
      number: type.Number({ description: 'a number' }),
    },
    ...{ literal: type.Literal('one', { description: 'no other' }), null: type.Null({ description: 'done' }) },
    list: type.Array(whole, { minItems: 1 }),
    either: type.Union([text, type.Null()], { description: 'or nothing' }),
    record: type.Record(type.String(), type.Unknown(), { description: 'by name' }),
    anything: type.Unknown({ description: 'whatever' }),
    ...{ empty: type.Object({}), optional: type.Object({ may: type.Optional(text) }) },
    ...{ partial: type.Partial(whole), described: type.Partial(whole, { minProperties: 1 }) },
    // Taken apart and put together again, as routes do.
    extended: type.Object({ ...type.Partial(whole).properties, more: text }),
  };
}

t.test('schemas are the ones that TypeBox would build, to the byte', async (t) => {
  for (const [name, schema] of Object.entries(said(TypeBox)))
    t.equal(JSON.stringify(said(Type)[name as 'text']), JSON.stringify(schema), name);
});

t.test('what may be missing is so in the object alone for which it was said', async (t) => {
  const text = Type.String();
  t.same(Type.Object({ may: Type.Optional(text) }).required, undefined);
  t.same(Type.Object({ must: text }).required, ['must']);
});
