/**
 * Uses of sessions on their way from requests to the detection of anomalies: a queue in memory. Who puts one in waits for
 * nothing and is told of nothing; a process that dies takes what waits with it.
 */
import type { Clock } from '../ports/clock.js';
import type { DeviceOf } from '../ports/device-names.js';
import type { Metrics } from '../ports/metrics.js';
import type { Places } from '../ports/places.js';
import { type Activity, isPublic, networkOf } from './anomalies/activity.js';
import { isRepeat } from './anomalies/repeats.js';
import { createForgetOldest } from './oldest.js';
import type { Caller, SessionId, UserId } from './types.js';

export interface Use {
  kind: Activity['kind'];
  userId: UserId;
  sessionId: SessionId;
  ip: string | null;
  userAgent: string | null;
  /** As in an activity. */
  shape: string | null;
  /** At a login: whether it came with the device token of an earlier one to this account. */
  knownDevice: boolean;
  /** For the audit event; not asked for where the use says nothing new. */
  caller: () => Caller;
}

/** A use that waits to be judged. */
export interface Waiting {
  activity: Activity;
  caller: Caller;
  /** Since when, on the monotonic clock. */
  since: number;
}

export interface Uses {
  /** Never throws. */
  put(use: Use): void;
  /** The oldest, at most `most`. */
  take(most: number): Waiting[];
  /** Of what could not be judged: the next use of the session is new, though it says the same. */
  forget(uses: readonly Waiting[]): void;
}

/** More wait only where the database is away or too slow: then it is the newest that are not judged. */
const MAX_WAITING = 10_000;
/** Sessions whose latest use is remembered, some hundred bytes each; the one whose use changed first is forgotten first. */
const MAX_REMEMBERED = 20_000;
const HOUR_MS = 3_600_000;

/** What a session was last used like: from where in so many words, and what became of that. */
interface Latest {
  from: string;
  hour: number;
  activity: Activity | null;
}

/** Checks are other requests than refreshes, and come in between. */
const nameOf = ({ kind, sessionId }: Pick<Use, 'kind' | 'sessionId'>): string =>
  kind === 'check' ? `check ${sessionId}` : sessionId;

export interface UsesParts {
  places: Pick<Places, 'locate'>;
  deviceOf: DeviceOf;
  metrics: Pick<Metrics, 'detectionQueue' | 'detectionDropped'>;
  clock: Clock;
  maxWaiting?: number;
}

export function createUses({ places, deviceOf, metrics, clock, maxWaiting = MAX_WAITING }: UsesParts): Uses {
  let waiting: Waiting[] = [];
  const latest = new Map<string, Latest>();
  const forgetOldest = createForgetOldest(latest);

  /** Null where it comes from a private address, or one of which no place is known: nothing can be held against that. */
  function activityOf(use: Use): Activity | null {
    const { kind, userId, sessionId, ip, shape, knownDevice } = use;
    const found = isPublic(ip) ? places.locate(ip) : null;
    if (found === null || found.place === null) return null;
    const { place, asn, hosting } = found;
    const device = deviceOf(use.userAgent);
    const network = networkOf(ip, asn);
    return { at: clock.now(), userId, sessionId, kind, ip, network, place, device, shape, hosting, knownDevice };
  }

  function remember(name: string, last: Latest): void {
    latest.delete(name);
    latest.set(name, last);
    if (latest.size > MAX_REMEMBERED) forgetOldest();
  }

  function put(use: Use): void {
    const name = nameOf(use);
    const from = `${use.ip} ${use.shape} ${use.userAgent}`;
    const hour = Math.floor(clock.now() / HOUR_MS);
    const before = latest.get(name);
    // Before anything is looked up: of most sessions the first use in an hour says all that the others would.
    if (before?.hour === hour && before.from === from) return;
    const activity = activityOf(use);
    const isNew = activity !== null && !(before?.activity && isRepeat(before.activity, activity));
    if (isNew && waiting.length >= maxWaiting) {
      metrics.detectionDropped(1);
      return;
    }
    remember(name, { from, hour, activity });
    if (!isNew) return;
    waiting.push({ activity, caller: use.caller(), since: clock.monotonic() });
    metrics.detectionQueue(waiting.length);
  }

  return {
    put(use) {
      try {
        put(use);
      } catch {
        // Whatever is wrong with it, the request is none the worse.
        metrics.detectionDropped(1);
      }
    },
    take(most) {
      const taken = waiting.slice(0, most);
      waiting = waiting.slice(most);
      metrics.detectionQueue(waiting.length);
      return taken;
    },
    forget(uses) {
      for (const { activity } of uses) latest.delete(nameOf(activity));
    },
  };
}
