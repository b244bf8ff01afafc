import type { Place } from '../domain/anomalies/activity.js';

/** What databases of addresses say of one. */
export interface Location {
  /** Null where the network is known and the place is not. */
  place: Place | null;
  /** The number of the autonomous system that the address belongs to; null where only places are known. */
  asn: number | null;
  /** Whether that is a provider of servers or of a VPN, where people are not at home; null where no name is known. */
  hosting: boolean | null;
}

/** Where an address roughly is. Neither ever throws: a damaged record is a place that is not known. */
export interface Places {
  /**
   * For people who look through the list of their devices: `DE`, or `Berlin, DE` where cities are known; null for
   * addresses of no known place, private ones among them.
   */
  placeOf(ip: string): string | null;
  /** For the detection of anomalies; null like the above. */
  locate(ip: string): Location | null;
}

/** What became of a database: it was replaced, or there is a problem with the new one, and the old one stays in use. */
export interface DatabaseNews {
  database: string;
  problem: string | null;
}

/** Places from files, which may be replaced while they are in use. */
export interface PlaceFiles extends Places {
  /** Looks whether the files have changed. What is wrong with one is told once. Never rejects. */
  lookAgain(): Promise<DatabaseNews[]>;
}

/** Nothing is known of any address. */
export const nowhere: Places = { placeOf: () => null, locate: () => null };
