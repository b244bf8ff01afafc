/** How the table of attacks is written down. */
import type { Forge, Parts } from './forge.js';

export const ACCEPTED = 'accepted';

export interface Attack {
  name: string;
  token: string;
  /** The code of the refusal, or `accepted`. */
  expect: string;
}

/** By what they show. */
export type Attacks = Record<string, Attack[]>;

export type Row = readonly [name: string, parts: Parts | string];

/** Ways to write rows down. */
export function rowsWith({ token }: Forge) {
  const each = (expect: string, rows: readonly Row[]): Attack[] =>
    rows.map(([name, made]) => ({ name, token: typeof made === 'string' ? made : token(made), expect }));
  const nameOf = (name: string, value: unknown) => `${name} ${JSON.stringify(value)?.slice(0, 40)}`;
  return {
    each,
    /** One row for each value of a member of the header. */
    headers: (expect: string, name: string, values: readonly unknown[], parts: Parts = {}): Attack[] =>
      each(
        expect,
        values.map((value) => [nameOf(name, value), { ...parts, header: { [name]: value } }]),
      ),
    /** One row for each value of a claim. */
    claims: (expect: string, name: string, values: readonly unknown[]): Attack[] =>
      each(
        expect,
        values.map((value) => [nameOf(name, value), { claims: { [name]: value } }]),
      ),
  };
}
