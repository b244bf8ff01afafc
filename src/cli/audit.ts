import { Command, Option } from 'commander';
import { duration } from '../config-values.js';
import type { AuditRecord } from '../domain/audit-record.js';
import type { AuditPage, Verification } from '../http/admin/audit-routes.js';
import type { Call } from './administration.js';
import { auditFormats, auditLine } from './audit-formats.js';
import { type Context, WrongUsage } from './context.js';
import { parsed, queryOf, type Shared, show, withJson } from './options.js';
import { userIdOf } from './users.js';

interface Filter {
  user?: string;
  session?: string;
  jti?: string;
  client?: string;
  event?: string;
  outcome?: string;
  actor?: string;
  address?: string;
  request?: string;
  since?: string;
  until?: string;
}

type Order = 'newest_first' | 'oldest_first';

/** Events that are asked for at once. */
const PAGE = 1_000;
/** How often `tail` looks. Milliseconds. */
const FOLLOW_MS = 2_000;
/** `tail` looks back by this: an event can be seen a little later than a younger one. Milliseconds. */
const OVERLAP_MS = 60_000;
/** Of `verify`: events between two lines of progress. */
const PROGRESS = 100_000;

/** A day of UTC, or a time with its zone. */
const DATE = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/** An instant, or how long ago it was. */
const instant = (text: string): string => {
  if (DATE.test(text) && !Number.isNaN(Date.parse(text))) return new Date(text).toISOString();
  try {
    return new Date(Date.now() - duration(text) * 1000).toISOString();
  } catch {
    throw 'an instant such as 2026-03-01T12:00:00Z, or how long ago, such as 2h or 7d';
  }
};

const withFilter = (command: Command): Command =>
  command
    .option('--user <user>', 'whom it concerns, by e-mail or id')
    .option('--session <id>', 'which session it concerns, or with which it was done')
    .option('--jti <jti>', 'which access token it concerns, or with which it was done')
    .option('--client <client_id>', 'which client it concerns')
    .option('--event <event>', 'a name, or a group: login.failed, "login.*"')
    .addOption(new Option('--outcome <outcome>', 'what came of it').choices(['success', 'failure']))
    .option('--actor <actor>', 'who did it: user:<id>, client:<client_id>, cli:<name>, service, anonymous')
    .option('--address <address>', 'from where')
    .option('--request <id>', 'the id of the request')
    .option(
      '--since <instant>',
      'from an instant on, or from how long ago: 2026-03-01T12:00:00Z, 2h, 7d',
      parsed(instant),
    )
    .option('--until <instant>', 'before it', parsed(instant));

/** As the route has it. */
async function memberOf(call: Call, { user, address, ...filter }: Filter): Promise<Record<string, string | undefined>> {
  const { session, jti, client, event, outcome, actor, request, since, until } = filter;
  const members = { session, jti, client, event, outcome, actor, request, since, until };
  return { ...members, ip: address, user: user === undefined ? undefined : await userIdOf(call, user) };
}

type Members = Record<string, string | undefined>;

/** Page after page, each asked for when the one before has been used. */
async function* pagesOf(call: Call, members: Members, order: Order, limit = PAGE): AsyncGenerator<AuditPage> {
  for (let cursor: string | undefined; ; ) {
    const page = await call<AuditPage>(
      'GET',
      `/v1/admin/audit${queryOf({ ...members, order, limit: `${limit}`, cursor })}`,
    );
    yield page;
    if (page.next_cursor === null) return;
    cursor = page.next_cursor;
  }
}

/** When the latest event of all was. */
async function latestOf(call: Call): Promise<number> {
  const { events } = await call<AuditPage>('GET', '/v1/admin/audit?limit=1');
  return Date.parse(events[0]?.at ?? new Date(0).toISOString());
}

/** Until so many are found. A page may be short, and there be more. */
async function someOf(call: Call, members: Members, order: Order, limit: number, cursor?: string): Promise<AuditPage> {
  const found: AuditPage = { events: [], next_cursor: null };
  for (let at = cursor; ; ) {
    const missing = String(Math.min(limit - found.events.length, PAGE));
    const page = await call<AuditPage>(
      'GET',
      `/v1/admin/audit${queryOf({ ...members, order, limit: missing, cursor: at })}`,
    );
    found.events.push(...page.events);
    found.next_cursor = page.next_cursor;
    if (page.next_cursor === null || found.events.length >= limit) return found;
    at = page.next_cursor;
  }
}

const wholeNumber = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw 'a whole number from 1 to 999999';
  return Number(text);
};

const problems: Record<string, string> = {
  seal_missing: 'it is missing',
  seal_changed: 'it was changed, or is not chained to the one before',
  form_unknown: 'it was made by a later version',
  not_removed: 'it is said to have been removed with all before it, and something of that is there',
  event_changed: 'was changed',
  event_missing: 'an event before it is missing',
  event_inserted: 'was put in',
};

function problemText({ problem, seal, event }: NonNullable<Verification['problem']>): string {
  const what = problems[problem] ?? problem;
  if (event === undefined) return `seal ${seal}: ${what}`;
  return event === null ? `seal ${seal}: its last event is missing` : `seal ${seal}: event ${event}: ${what}`;
}

interface Verified {
  whole: boolean;
  seals: number;
  events: number;
  unsealed: number | null;
  /** The last seal that was removed by retention. */
  beginning: Verification['beginning'];
  /** The last one that is whole. */
  head: { seal: number; hash: string; sealed_at: string } | null;
  problem: Verification['problem'] | { problem: 'head_missing' };
}

async function verified(call: Call, given: string | undefined, told: (so: Verified) => void): Promise<Verified> {
  const so: Verified = { whole: true, seals: 0, events: 0, unsealed: null, beginning: null, head: null, problem: null };
  let isGivenSeen = given === undefined;
  for (let cursor: string | undefined; ; ) {
    const step = await call<Verification>('GET', `/v1/admin/audit/verification${queryOf({ cursor })}`);
    so.beginning ??= step.beginning;
    so.unsealed = step.unsealed;
    so.problem = step.problem;
    isGivenSeen ||= step.beginning?.hash === given;
    for (const { seal, hash, sealed_at, count } of step.seals) {
      so.seals++;
      so.events += count;
      so.head = { seal, hash, sealed_at };
      isGivenSeen ||= hash === given;
    }
    if (step.next_cursor === null) break;
    cursor = step.next_cursor;
    told(so);
  }
  if (so.problem === null && !isGivenSeen) so.problem = { problem: 'head_missing' };
  return { ...so, whole: so.problem === null };
}

const summary = ({ seals, events, unsealed, beginning, head }: Verified): string =>
  [
    `whole     ${events} events in ${seals} seals`,
    ...(beginning === null
      ? []
      : [`begins    after seal ${beginning.seal}: what was before has been removed by retention`]),
    ...(unsealed === null ? [] : [`unsealed  ${unsealed} events`]),
    ...(head === null ? [] : [`head      ${head.hash}  seal ${head.seal} of ${head.sealed_at}`]),
  ].join('\n');

export const auditCommand = (context: Context): Command => {
  const audit = new Command('audit').description(
    'The audit trail: what happened, who did it, and whether that was changed',
  );
  const { administration, terminal } = context;

  withFilter(withJson(audit.command('search')))
    .description('Events, the newest first')
    .option('--limit <number>', 'how many; default: 50', parsed(wholeNumber), 50)
    .option('--cursor <cursor>', 'the next_cursor of the search before')
    .addHelpText('after', '\nExample:\n  keyturn audit search --user ada@example.com --since 7d')
    .action(({ limit, cursor, json, ...filter }: Shared & Filter & { limit: number; cursor?: string }) =>
      administration(async (call) => {
        const page = await someOf(call, await memberOf(call, filter), 'newest_first', limit, cursor);
        show(context, json ? { json } : {}, page, () => page.events.map(auditLine).join('\n') || 'nothing was found');
        if (!json && page.next_cursor !== null) terminal.note(`there are more: --cursor ${page.next_cursor}`);
      }),
    );

  withFilter(audit.command('tail'))
    .option('--json', 'print a JSON document a line')
    .description('The latest events, and those that come, until it is interrupted')
    .option('--lines <number>', 'how many to begin with; default: 10', parsed(wholeNumber), 10)
    .option('--no-follow', 'do not wait for more')
    .addHelpText('after', '\nExample:\n  keyturn audit tail --event "login.*"\n  keyturn audit tail --json | jq .event')
    .action(({ lines, follow, json, ...filter }: Shared & Filter & { lines: number; follow: boolean }) =>
      administration(async (call, alone) => {
        const members = await memberOf(call, filter);
        const print = (event: AuditRecord) => terminal.write(`${json ? JSON.stringify(event) : auditLine(event)}\n`);
        const begun = (await someOf(call, members, 'newest_first', lines)).events.reverse() as AuditRecord[];
        for (const event of begun) await print(event);
        if (!follow) return;
        if (alone) return terminal.note('no service is running: nothing will come');
        await following(call, members, begun, print);
      }),
    );

  /** Looks again at what is not long past by the clocks of the services, and passes over what has been seen. */
  async function following(call: Call, members: Members, begun: AuditRecord[], print: (event: AuditRecord) => unknown) {
    const seen = new Map(begun.map(({ id, at }) => [id, Date.parse(at)]));
    const asked = Date.parse(members.since ?? new Date(0).toISOString());
    let latest = await latestOf(call);
    for (;;) {
      await context.pause(FOLLOW_MS);
      const from = Math.max(latest - OVERLAP_MS, asked);
      latest = await latestOf(call);
      for (const [id, at] of seen) if (at < from) seen.delete(id);
      const since = new Date(from).toISOString();
      for await (const { events } of pagesOf(call, { ...members, since }, 'oldest_first')) {
        for (const event of events as AuditRecord[]) {
          if (seen.has(event.id)) continue;
          seen.set(event.id, Date.parse(event.at));
          await print(event);
        }
      }
    }
  }

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
        for await (const { events } of pagesOf(call, await memberOf(call, filter), 'oldest_first'))
          await terminal.write((events as AuditRecord[]).map(line).join(''));
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
        if (so.problem === null) return;
        if (!('seal' in so.problem))
          throw new Error(`the head is not there: the chain was cut off or made anew, or it was removed by retention`);
        throw new Error(`the audit trail is not whole: ${problemText(so.problem)}`);
      }),
    );

  return audit;
};
