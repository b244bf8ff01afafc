/** Does the session's own client send this? A refresh is held against the refreshes of its session. */
import type { Activity } from './activity.js';
import { CLIENT_CHANGED, weigh } from './model.js';
import { type Profile, shortened } from './profile.js';

export interface Client {
  /** Null where nothing can be compared. */
  seen: 'same' | 'changed' | null;
  weight: number;
  why(): string;
}

const why = () => 'the same user agent, and other headers beside it than the client of this session sends';
const UNKNOWN: Client = { seen: null, weight: 0, why };

/** Logins and checks are other requests, with other headers. */
export const shapeIn = ({ kind, shape }: Activity): string | null =>
  kind === 'refresh' && shape !== null ? shortened(shape) : null;

export function client(profile: Profile, activity: Activity): Client {
  const shape = shapeIn(activity);
  const trace = profile.sessions.find(({ session }) => session === activity.sessionId);
  if (shape === null || trace === undefined || trace.shapes.length === 0) return UNKNOWN;
  // Another device is another client: what that weighs, it weighs once.
  if (activity.device !== null && trace.device !== null && shortened(activity.device) !== trace.device) return UNKNOWN;
  const changed = !trace.shapes.includes(shape);
  const weight = weigh(CLIENT_CHANGED, changed, profile.changedClients, profile.visits);
  return { seen: changed ? 'changed' : 'same', weight, why };
}
