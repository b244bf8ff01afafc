/** What `keyturn audit` asks for: the flags of its filter, and page after page. */
import { type Command, Option } from 'commander';
import { duration } from '../config-values.js';
import type { AuditRecord } from '../domain/audit-record.js';
import type { AuditPage } from '../http/admin/audit-routes.js';
import type { Call } from './administration.js';
import { parsed, queryOf } from './options.js';
import { userIdOf } from './users.js';

export interface Filter {
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

/** A day of UTC, or a time with its zone. */
const DATE = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/** An instant, or how long ago it was. */
export const instant = (text: string): string => {
  if (DATE.test(text) && !Number.isNaN(Date.parse(text))) return new Date(text).toISOString();
  try {
    return new Date(Date.now() - duration(text) * 1000).toISOString();
  } catch {
    throw 'an instant such as 2026-03-01T12:00:00Z, or how long ago, such as 2h or 7d';
  }
};

const eventName = (text: string): string => {
  if (!/^[a-z_]+\.([a-z_]+|\*)$/.test(text))
    throw 'an event such as login.failed, or a group of them such as "login.*"';
  return text;
};

export const withFilter = (command: Command): Command =>
  command
    .option('--user <user>', 'whom it concerns, by e-mail or id')
    .option('--session <id>', 'which session it concerns, or with which it was done')
    .option('--jti <jti>', 'which access token it concerns, or with which it was done')
    .option('--client <client_id>', 'which client it concerns')
    .option('--event <event>', 'a name, or a group: login.failed, "login.*"', parsed(eventName))
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

/** As the members of the route's query. */
export type Members = Record<string, string | undefined>;

export async function membersOf(call: Call, { user, address, ...filter }: Filter): Promise<Members> {
  const { session, jti, client, event, outcome, actor, request, since, until } = filter;
  const members = { session, jti, client, event, outcome, actor, request, since, until };
  return { ...members, ip: address, user: user === undefined ? undefined : await userIdOf(call, user) };
}

const pageOf = (call: Call, members: Members, order: Order, limit: number, cursor?: string): Promise<AuditPage> =>
  call('GET', `/v1/admin/audit${queryOf({ ...members, order, limit: `${limit}`, cursor })}`);

/** Page after page, each asked for when the one before has been used. */
export async function* pagesOf(call: Call, members: Members, order: Order): AsyncGenerator<AuditRecord[]> {
  for (let cursor: string | undefined; ; ) {
    const page = await pageOf(call, members, order, PAGE, cursor);
    yield page.events as AuditRecord[];
    if (page.next_cursor === null) return;
    cursor = page.next_cursor;
  }
}

export interface Found {
  events: AuditRecord[];
  next_cursor: string | null;
}

/** The newest, until so many are found. A page may be short, and there be more. */
export async function newestOf(call: Call, members: Members, limit: number, cursor?: string): Promise<Found> {
  const events: AuditRecord[] = [];
  for (let at = cursor; ; ) {
    const page = await pageOf(call, members, 'newest_first', Math.min(limit - events.length, PAGE), at);
    events.push(...(page.events as AuditRecord[]));
    if (page.next_cursor === null || events.length >= limit) return { events, next_cursor: page.next_cursor };
    at = page.next_cursor;
  }
}
