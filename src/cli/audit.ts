import { Command, Option } from 'commander';
import type { AuditRecord } from '../domain/audit-record.js';
import { auditFormats, auditLine, exactJson } from './audit-formats.js';
import { type Filter, membersOf, newestOf, pagesOf, withFilter } from './audit-pages.js';
import { follow as tailed, windowOf } from './audit-tail.js';
import { problemText, summary, verified } from './audit-verification.js';
import { type Context, WrongUsage } from './context.js';
import { parsed, type Shared, show, withJson } from './options.js';

/** Of `verify`: events between two lines of progress. */
const PROGRESS = 100_000;

const wholeNumber = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw 'a whole number from 1 to 999999';
  return Number(text);
};

export const auditCommand = (context: Context): Command => {
  const audit = new Command('audit').description(
    'The audit trail: what happened, who did it, and whether that was changed',
  );
  const { administration, terminal } = context;

  withFilter(withJson(audit.command('search')))
    .description('Events, the newest first')
    .option('--limit <number>', 'how many', parsed(wholeNumber), 50)
    .option('--cursor <cursor>', 'the next_cursor of the search before')
    .addHelpText('after', '\nExample:\n  keyturn audit search --user ada@example.com --since 7d')
    .action(({ limit, cursor, json, ...filter }: Shared & Filter & { limit: number; cursor?: string }) =>
      administration(async (call) => {
        const page = await newestOf(call, await membersOf(call, filter), limit, cursor);
        show(context, json ? { json } : {}, page, () => page.events.map(auditLine).join('\n') || 'nothing was found');
        if (!json && page.next_cursor !== null) terminal.note(`there are more: --cursor ${page.next_cursor}`);
      }),
    );

  withFilter(audit.command('tail'))
    .option('--json', 'print a JSON document a line')
    .description('The latest events, and those that come, until it is interrupted')
    .option('--lines <number>', 'how many to begin with', parsed(wholeNumber), 10)
    .option('--no-follow', 'do not wait for more')
    .addHelpText('after', '\nExample:\n  keyturn audit tail --event "login.*"\n  keyturn audit tail --json | jq .event')
    .action(({ lines, follow, json, ...filter }: Shared & Filter & { lines: number; follow: boolean }) =>
      administration(async (call, alone) => {
        const members = await membersOf(call, filter);
        const print = (event: AuditRecord) => terminal.write(`${json ? exactJson(event) : auditLine(event)}\n`);
        const isFollowing = follow && !alone;
        // What is older than those that are shown is not to come: noted first, so that nothing is lost in between.
        const window = isFollowing ? await windowOf(call, members) : null;
        const begun = await newestOf(call, members, lines);
        for (const event of begun.events.reverse()) {
          window?.seen.set(event.id, Date.parse(event.at));
          await print(event);
        }
        if (window !== null) await tailed(call, members, window, print, context.pause);
        else if (follow) terminal.note('no service is running: nothing will come');
      }),
    );

  withFilter(audit.command('export'))
    .description('All of them, or those that are asked for, the oldest first')
    .addOption(new Option('--format <format>', 'how they are written').choices(['jsonl', 'csv']).default('jsonl'))
    .option('--json', 'the same as --format jsonl')
    .addHelpText('after', '\nExample:\n  keyturn audit export --format csv --since 2026-03-01 > march.csv')
    .action(({ format, json, ...filter }: Shared & Filter & { format: 'jsonl' | 'csv' }) => {
      if (json && format !== 'jsonl') throw new WrongUsage('--json is JSON lines');
      return administration(async (call) => {
        const { head, line } = auditFormats[format];
        if (head !== '') await terminal.write(head);
        for await (const events of pagesOf(call, await membersOf(call, filter), 'oldest_first'))
          await terminal.write(events.map(line).join(''));
      });
    });

  withJson(audit.command('verify'))
    .description('Prove that nothing was changed, taken out or put in, or name the first thing that was')
    .option('--head <hash>', 'the hash of a seal that was noted elsewhere: it has to be there')
    .addHelpText('after', '\nExample:\n  keyturn audit verify')
    .action(({ head, ...options }: Shared & { head?: string }) =>
      administration(async (call) => {
        if (head !== undefined && !/^[0-9a-f]{64}$/.test(head)) throw new WrongUsage('--head is a SHA-256 in hex');
        let told = 0;
        const so = await verified(call, head, ({ events, head: at }) => {
          if (events - told < PROGRESS) return;
          told = events;
          terminal.note(`${events} events are whole, to seal ${at?.seal} of ${at?.sealed_at}`);
        });
        if (options.json || so.whole) show(context, options, so, () => summary(so));
        if (so.problem !== null) throw new Error(`the audit trail is not whole: ${problemText(so.problem)}`);
      }),
    );

  return audit;
};
