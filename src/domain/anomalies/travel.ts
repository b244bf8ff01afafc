/**
 * Could the user have got there? Each use is held against where the same session was last, and against where the user was
 * last in any other. The first is one device, which is in one place; the second may be a computer that was left on at home.
 */
import { type Activity, isPublic, type Place } from './activity.js';
import { FASTEST_KMH, leastKm, SAME_AREA_KM } from './geography.js';
import { type Reach, TOO_FAST, weigh } from './model.js';
import type { Profile, Trace } from './profile.js';
import { duration, placeName, rounded } from './words.js';

/** A session that is used from two places within this is used from both at once. */
const AT_ONCE_MS = 3_600_000;

export interface Move {
  reach: Reach;
  tooFast: boolean;
  atOnce: boolean;
  /** Where it began. */
  from: Trace;
  weight: number;
  why(): string;
}

const MS_PER_H = 3_600_000;

export function reachOf(from: Place, to: Place): Reach {
  if (from.country === to.country) return 'country';
  return from.continent === to.continent && from.continent !== null ? 'continent' : 'world';
}

function moveFrom(trace: Trace, profile: Profile, { at, sessionId, place }: Activity): Move | null {
  if (!trace.place?.coordinates || !place?.coordinates) return null;
  const km = leastKm(trace.place.coordinates, place.coordinates);
  if (km < SAME_AREA_KM) return null;
  // Nodes' clocks differ, and events arrive out of order: what counts is how far apart they are.
  const elapsed = Math.abs(at - trace.at);
  const kmh = km / (elapsed / MS_PER_H);
  const tooFast = kmh > FASTEST_KMH;
  const reach = reachOf(trace.place, place);
  const { all, tooFast: before } = profile.moves[reach];
  const from = trace.place;
  const speed = () => (elapsed === 0 ? 'at the same moment' : `in ${duration(elapsed)}: ${rounded(kmh)} km/h`);
  return {
    reach,
    tooFast,
    from: trace,
    atOnce: trace.session === sessionId && elapsed <= AT_ONCE_MS,
    weight: weigh(TOO_FAST[reach], tooFast, before, all),
    why: () => `${placeName(from)} to ${placeName(place)}, ${rounded(km)} km, ${speed()}`,
  };
}

/** The move that says most: one too fast, else what the session itself did. Null where nobody moved, or who knows. */
export function travel(profile: Profile, activity: Activity): Move | null {
  if (!isPublic(activity.ip)) return null;
  const own = profile.sessions.find(({ session }) => session === activity.sessionId);
  const other = profile.sessions.find(({ session, place }) => session !== activity.sessionId && place !== null);
  const moved = own?.place ? moveFrom(own, profile, activity) : null;
  if (moved?.tooFast) return moved;
  const byOthers = other ? moveFrom(other, profile, activity) : null;
  return byOthers?.tooFast ? byOthers : (moved ?? (own?.place ? null : byOthers));
}
