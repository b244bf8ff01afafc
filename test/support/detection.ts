/** People who are at home in Berlin, and somebody in Sydney, for the tests of what detection does. */
import type { Places } from '../../src/ports/places.js';
import { BERLIN, SYDNEY } from './activities.js';

export const HOME = '20.1.0.1';
export const NEXT_DOOR = '20.1.0.2';
export const FAR = '20.2.0.1';
export const FIREFOX = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0';
/** Nobody's at home. */
export const CURL = 'curl/8.5.0';

const known = new Map([
  [HOME, { place: BERLIN, asn: 3320, hosting: false }],
  [NEXT_DOOR, { place: BERLIN, asn: 3320, hosting: false }],
  [FAR, { place: SYDNEY, asn: 1221, hosting: false }],
]);

export const twoPlaces: Places = {
  placeOf: (ip) => {
    const place = known.get(ip)?.place;
    return place === undefined ? null : `${place.city}, ${place.country}`;
  },
  locate: (ip) => known.get(ip) ?? null,
};
