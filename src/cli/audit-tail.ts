/** `keyturn audit tail`: looks again and again at what is not long past, and tells what it has not seen. */
import type { AuditRecord } from '../domain/audit-record.js';
import type { Call } from './administration.js';
import { type Members, newestOf, pagesOf } from './audit-pages.js';

/** How often `tail` looks. Milliseconds. */
const FOLLOW_MS = 2_000;
/**
 * `tail` looks back by this: an event can be seen later than a younger one, by as long as a request may take and by how
 * much the nodes' clocks differ. Milliseconds.
 */
const OVERLAP_MS = 30_000;

/** When the latest event of all was, by the clocks of the services. */
async function latestOf(call: Call): Promise<number> {
  const { events } = await newestOf(call, {}, 1);
  return Date.parse(events[0]?.at ?? new Date(0).toISOString());
}

/** From a little before an instant on. */
async function* recent(call: Call, members: Members, latest: number): AsyncGenerator<AuditRecord> {
  const from = Math.max(latest - OVERLAP_MS, Date.parse(members.since ?? new Date(0).toISOString()), 0);
  for await (const events of pagesOf(call, { ...members, since: new Date(from).toISOString() }, 'oldest_first'))
    yield* events;
}

/** What has been seen of the time that is looked at again, by id. */
export interface Window {
  seen: Map<string, number>;
  latest: number;
}

export async function windowOf(call: Call, members: Members): Promise<Window> {
  const [seen, latest] = [new Map<string, number>(), await latestOf(call)];
  for await (const { id, at } of recent(call, members, latest)) seen.set(id, Date.parse(at));
  return { seen, latest };
}

/** Prints what comes after the window, until `pause` rejects or the process ends. */
export async function follow(
  call: Call,
  members: Members,
  { seen, latest }: Window,
  print: (event: AuditRecord) => Promise<void>,
  pause: (ms: number) => Promise<void>,
): Promise<never> {
  for (let from = latest; ; ) {
    await pause(FOLLOW_MS);
    const next = await latestOf(call);
    for await (const event of recent(call, members, from)) {
      if (seen.has(event.id)) continue;
      seen.set(event.id, Date.parse(event.at));
      await print(event);
    }
    from = next;
    for (const [id, at] of seen) if (at < from - OVERLAP_MS) seen.delete(id);
  }
}
