import type { Place } from '../domain/anomalies/activity.js';

/** What a database of addresses says of one. */
export interface Location {
  /** Null where the network is known and the place is not. */
  place: Place | null;
  /** The number of the autonomous system that the address belongs to; null where only places are known. */
  asn: number | null;
}

/** Where an address roughly is. */
export interface Places {
  /**
   * For people who look through the list of their devices: `DE`, or `Berlin, DE` where cities are known; null for
   * addresses of no known place, private ones among them.
   */
  placeOf(ip: string): string | null;
  /** For the detection of anomalies; null like the above. */
  locate(ip: string): Location | null;
}

/** Nothing is known of any address. */
export const nowhere: Places = { placeOf: () => null, locate: () => null };
