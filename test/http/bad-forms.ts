/** Forms that the endpoints at /oauth must refuse (RFC 6749 §3.2, appendix B). */
import fc from 'fast-check';
import {
  BODY_LIMIT,
  badTexts,
  type Kinds,
  type Members,
  objectOf,
  type Payload,
  type Schema,
  withBadBytes,
} from './bad-json.js';

const encoded = (members: Members): string => new URLSearchParams(members as Record<string, string>).toString();
const badEscapes = ['%', '%z', '%zz', '%0', '%ff', '%c0%af', '%ed%a0%80', '%e2%82', '%u0041', 'a%', '%%41'];
const orNull = (values: readonly string[]) => (values.length === 0 ? null : fc.constantFrom(...values));
/** The same name as another text. */
const percent = (name: string): string =>
  [...name].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');

export const goodForm = encoded;

export function badForms(schema: Schema, good: Members, wrong: readonly Members[]): Kinds<Payload> {
  const { properties = {}, required = [] } = objectOf(schema);
  const text = encoded(good);
  const without = (name: string): Members =>
    Object.fromEntries(Object.entries(good).filter(([other]) => other !== name));
  return {
    'parameter missing': orNull(required.map((name) => encoded(without(name)))),
    'parameter empty': orNull(required.map((name) => encoded({ ...good, [name]: '' }))),
    'parameter out of range': orNull(
      Object.entries(properties).flatMap(([name, one]) =>
        badTexts(one)
          // An empty parameter counts as absent.
          .filter((value) => value !== '')
          .map((value) => encoded({ ...good, [name]: value })),
      ),
    ),
    'parameter not acceptable': orNull(wrong.map((change) => encoded({ ...good, ...change }))),
    'repeated parameter': fc
      .tuple(fc.constantFrom(...Object.keys(good)), fc.constantFrom(null, '', 'x', '%00'), fc.boolean(), fc.boolean())
      .map(([name, other, disguised, before]) => {
        const pair = `${disguised ? percent(name) : name}=${other ?? encodeURIComponent(String(good[name] ?? ''))}`;
        return before ? `${pair}&${text}` : `${text}&${pair}`;
      }),
    'repeated unknown parameter': fc
      .constantFrom('x', '__proto__', 'constructor', 'toString', '%00', 'audience%20')
      .map((name) => `${name}=1&${text}&${name}=2`),
    'bad escape': fc
      .tuple(fc.constantFrom(...badEscapes), fc.constantFrom('name', 'value', 'known'), fc.boolean())
      .map(([bad, where, before]) => {
        const pair = { name: `${bad}=x`, value: `x=${bad}`, known: `resource=${bad}` }[where];
        return before ? `${pair}&${text}` : `${text}&${pair}`;
      }),
    'not UTF-8': withBadBytes(text),
    'too large': fc
      .constantFrom(1, 100, 50_000)
      .map((more) => `${text}&x=${'x'.repeat(BODY_LIMIT - text.length - 3 + more)}`),
    'not a form': fc.constantFrom('{}', JSON.stringify(good), '[]', '<a/>', '\0', '&&&', '=', '==='),
  };
}
