/** What several commands share: flags, questions, and how results are printed. */
import { type Command, InvalidArgumentError } from 'commander';
import { exactJson } from './audit-formats.js';
import { type Context, type Terminal, WrongUsage } from './context.js';

/** For a flag that is repeated; an empty one stands for none, so that a list can be emptied. */
export const collect = (value: string, list: string[] = []): string[] => (value === '' ? list : [...list, value]);

/** A parser of the configuration as one of commander. */
export const parsed =
  <T>(parse: (text: string) => T) =>
  (text: string): T => {
    try {
      return parse(text);
    } catch (what) {
      throw typeof what === 'string' ? new InvalidArgumentError(`Expected ${what}.`) : what;
    }
  };

export interface Shared {
  json?: true;
  yes?: true;
}

export const withJson = (command: Command): Command => command.option('--json', 'print one JSON document');
export const withYes = (command: Command): Command => command.option('--yes', 'do not ask');

export const show = ({ terminal }: Context, { json }: Shared, document: object, human: () => string): void =>
  terminal.print(json ? exactJson(document) : human());

/** For what cannot be taken back. */
export async function confirm({ terminal }: Context, { yes }: Shared, question: string): Promise<void> {
  if (yes) return;
  if (!terminal.interactive) throw new WrongUsage(`${question} There is no terminal to ask: say --yes`);
  if (!/^y(es)?$/i.test((await terminal.ask(`${question} [y/N] `)).trim())) throw new Error('nothing was done');
}

export async function choosePassword(terminal: Terminal, { passwordStdin }: { passwordStdin?: true }) {
  if (passwordStdin) return (await terminal.readInput()).replace(/\r?\n$/, '');
  if (!terminal.interactive) return undefined;
  const password = await terminal.askSecret('Password (empty: one is made): ');
  if (password === '') return undefined;
  if ((await terminal.askSecret('Once more: ')) !== password) throw new Error('the passwords are not the same');
  return password;
}

export interface Page extends Shared {
  limit?: string;
  cursor?: string;
}

const pageSize = (text: string): string => {
  if (!/^([1-9]\d?|100)$/.test(text)) throw 'a whole number from 1 to 100';
  return text;
};

export const withPage = (command: Command): Command =>
  command
    .option('--limit <number>', '1 to 100; default: 50', parsed(pageSize))
    .option('--cursor <cursor>', 'the next_cursor of the page before');

/** With its question mark; what was not said is left out. */
export function queryOf(fields: Record<string, string | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) query.set(name, value);
  return query.size === 0 ? '' : `?${query}`;
}

/** Says how to go on, where there is more than was shown. */
export function showPage<T extends { next_cursor: string | null }>(
  context: Context,
  options: Shared,
  page: T,
  human: (page: T) => string,
): void {
  show(context, options, page, () => human(page));
  if (!options.json && page.next_cursor !== null) context.terminal.note(`there are more: --cursor ${page.next_cursor}`);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => (row[i] ?? '').length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}

/** Names and values, one a line. */
export function card(fields: Record<string, string | number | readonly string[]>): string {
  const width = Math.max(...Object.keys(fields).map((name) => name.length));
  const text = (value: string | number | readonly string[]) => (Array.isArray(value) ? value.join(' ') : String(value));
  return Object.entries(fields)
    .map(([name, value]) => `${name.padEnd(width)}  ${text(value)}`.trimEnd())
    .join('\n');
}
