/** `keyturn audit verify`: the whole of the chain, step by step, and what is told of it. */
import type { Verification } from '../http/admin/audit-routes.js';
import type { Call } from './administration.js';
import { queryOf } from './options.js';

const problems: Record<string, string> = {
  seal_missing: 'it is missing',
  seal_changed: 'it was changed, or is not chained to the one before',
  form_unknown: 'it was made by a later version',
  not_removed: 'it is said to have been removed with all before it, and something of that is there',
  event_changed: 'was changed',
  event_missing: 'an event before it is missing',
  event_inserted: 'was put in',
};

export function problemText(found: NonNullable<Verified['problem']>): string {
  if (!('seal' in found))
    return 'the head is not there: the chain was cut off or made anew, or retention has removed it';
  const { problem, seal, event } = found;
  const what = problems[problem] ?? problem;
  if (event === undefined) return `seal ${seal}: ${what}`;
  return event === null ? `seal ${seal}: its last event is missing` : `seal ${seal}: event ${event}: ${what}`;
}

export interface Verified {
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

/** `given` is a hash that has to be there; `told` hears of each step but the last. */
export async function verified(call: Call, given: string | undefined, told: (so: Verified) => void): Promise<Verified> {
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

export const summary = ({ seals, events, unsealed, beginning, head }: Verified): string =>
  [
    `whole     ${events} events in ${seals} seals`,
    ...(beginning === null
      ? []
      : [`begins    after seal ${beginning.seal}: what was before has been removed by retention`]),
    ...(unsealed === null ? [] : [`unsealed  ${unsealed} events`]),
    ...(head === null ? [] : [`head      ${head.hash}  seal ${head.seal} of ${head.sealed_at}`]),
  ].join('\n');
