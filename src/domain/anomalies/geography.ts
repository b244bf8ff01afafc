/** Distances on the globe, and how fast somebody would have had to be. */
import type { Coordinates } from './activity.js';

/** Mean radius of the Earth, IUGG. */
const EARTH_KM = 6371.0088;
/** Places that are nearer than this are one: databases of addresses are no better than that. */
export const SAME_AREA_KM = 100;
/** An airliner cruises at up to 900 km/h, and nobody gets from door to door as fast. */
export const FASTEST_KMH = 900;

const radians = (degrees: number) => (degrees * Math.PI) / 180;

/** Kilometres along the great circle, by the haversine formula, which has no trouble at the poles and the antimeridian. */
export function distanceKm(a: Coordinates, b: Coordinates): number {
  const half = (difference: number) => Math.sin(radians(difference) / 2) ** 2;
  const h = half(b.lat - a.lat) + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * half(b.lon - a.lon);
  return 2 * EARTH_KM * Math.asin(Math.sqrt(Math.min(h, 1)));
}

/** The least distance there can be between two places of which neither is known better than its radius. */
export const leastKm = (a: Coordinates, b: Coordinates): number =>
  Math.max(distanceKm(a, b) - a.radiusKm - b.radiusKm, 0);

/** Hours by which the sun is ahead of UTC: what time it is for people there, within an hour or two. */
export const solarOffset = ({ lon }: Coordinates): number => Math.round(lon / 15);
