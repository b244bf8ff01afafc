/** Where an address roughly is, for people who look through the list of their devices. */
export interface Places {
  /** `DE`, or `Berlin, DE` where cities are known; null for addresses of no known place, private ones among them. */
  placeOf(ip: string): string | null;
}
