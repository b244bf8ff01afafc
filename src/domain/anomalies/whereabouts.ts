/** Is this where the user is found? The most general of what is new counts, since all that is within it is new as well. */
import { type Activity, type Coordinates, isPublic } from './activity.js';
import { leastKm, SAME_AREA_KM } from './geography.js';
import { clamp, type Novelty, SAME_NETWORK, WHERE, weigh } from './model.js';
import { type Area, code, type Habit, type Profile, shortened } from './profile.js';
import { continentName, countryName, placeName, rounded } from './words.js';

export interface Whereabouts {
  /** Null where the place is not known. */
  seen: Novelty | 'known' | null;
  weight: number;
  /** In words, for those who ask: most are not asked. */
  why(): string;
}

const nothing = () => '';
const NOWHERE: Whereabouts = { seen: null, weight: 0, why: nothing };

const has = (habits: readonly Habit[], name: string | null) =>
  name === null || habits.some((habit) => habit.name === name);

/** The area of the user that is nearest, if the place may be in it. */
export function areaOf(areas: readonly Area[], coordinates: Coordinates): Area | undefined {
  let nearest: Area | undefined;
  let least = SAME_AREA_KM;
  for (const area of areas) {
    const km = leastKm(area.coordinates, coordinates);
    if (km < least) [nearest, least] = [area, km];
  }
  return nearest;
}

export function whereabouts(profile: Profile, { ip, place, network }: Activity): Whereabouts {
  // Who was nowhere yet can be nowhere new.
  if (!isPublic(ip) || place === null || profile.visits === 0) return NOWHERE;
  const novel = (seen: Novelty, why: () => string): Whereabouts => ({
    seen,
    weight: weigh(WHERE[seen], true, profile.firsts[seen], profile.visits),
    why,
  });
  if (place.continent !== null && !has(profile.continents, code(place.continent))) {
    const { continent } = place;
    const before = () => listed(profile.continents.map(({ name }) => continentName(name)));
    return novel('continent', () => `${continentName(continent)} (${placeName(place)}), before only ${before()}`);
  }
  if (!has(profile.countries, code(place.country))) {
    const before = () => listed(profile.countries.map(({ name }) => countryName(name)));
    return novel('country', () => `${countryName(place.country)}, before only ${before()}`);
  }
  const { coordinates } = place;
  const isNewArea = coordinates !== null && profile.areas.length > 0 && !areaOf(profile.areas, coordinates);
  if (isNewArea) {
    const km = () => Math.min(...profile.areas.map((area) => leastKm(area.coordinates, coordinates)));
    return novel('area', () => `${placeName(place)}, ${rounded(km())} km from where the user was ever seen`);
  }
  if (!has(profile.networks, network && shortened(network))) {
    return novel('network', () => `${network} in ${placeName(place)}, of ${profile.networks.length} networks before`);
  }
  const visits = profile.networks.find(({ name }) => name === shortened(network ?? ''))?.weight ?? 0;
  // What the user often uses speaks for the user; what was used once or twice speaks for nobody.
  const weight = Math.log10(SAME_NETWORK / ((visits + SAME_NETWORK) / (profile.visits + 1)));
  return { seen: 'known', weight: network === null ? 0 : clamp(weight, -1.5, 0.5), why: nothing };
}

const SHOWN = 3;

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'unknown places';
  const more = names.length - SHOWN;
  return names.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
