/** What is judged: one login, refresh or check of a user, with what is known of where it came from. */
import ipaddr from 'ipaddr.js';
import type { Instant, SessionId, UserId } from '../types.js';

export interface Coordinates {
  /** Degrees, north and east positive. */
  lat: number;
  lon: number;
  /** Kilometres around them within which the address is likely to be. */
  radiusKm: number;
}

export interface Place {
  /** ISO 3166-1 alpha-2. */
  country: string;
  /** `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`; null where the database does not say. */
  continent: string | null;
  city: string | null;
  /** Null where countries alone are known: then nothing is said of distances. */
  coordinates: Coordinates | null;
}

export interface Activity {
  at: Instant;
  userId: UserId;
  sessionId: SessionId;
  kind: 'login' | 'refresh' | 'check';
  ip: string | null;
  /** As `networkOf` names it. */
  network: string | null;
  place: Place | null;
  /** Family of the user agent and its system, without versions, which change by themselves: `Firefox on Windows`. */
  device: string | null;
  /**
   * What the client sends by itself besides the user agent, as a short hash: told apart within a session only, and between
   * requests of one kind. Null where that says nothing, as of a gateway's requests.
   */
  shape: string | null;
  /** Whether the network is one of servers or VPN exits; null where nobody says. */
  hosting: boolean | null;
  /** At a login: whether it came with the device token of an earlier login to this account. */
  knownDevice: boolean;
}

/** Addresses that a place can be known of. What is private, reserved or no address at all is nowhere, and no anomaly. */
export function isPublic(ip: string | null): ip is string {
  return ip !== null && ipaddr.isValid(ip) && ipaddr.process(ip).range() === 'unicast';
}

/** A damaged database may say anything: coordinates that are none are not known. */
export function withSoundCoordinates(activity: Activity): Activity {
  const { place } = activity;
  if (place === null || place.coordinates === null) return activity;
  const { lat, lon, radiusKm } = place.coordinates;
  const isSound = Math.abs(lat) <= 90 && Math.abs(lon) <= 180 && radiusKm >= 0 && radiusKm <= HALF_WAY_ROUND_KM;
  return isSound ? activity : { ...activity, place: { ...place, coordinates: null } };
}

/** No two places are further from each other. */
const HALF_WAY_ROUND_KM = 20_038;

/**
 * The network that an address belongs to: its autonomous system where that is known, else the /16 of an IPv4 address, the
 * /48 of an IPv6 address. IPv4 in IPv6 dress counts as IPv4. Null for addresses that are not public.
 */
export function networkOf(ip: string | null, asn: number | null): string | null {
  if (!isPublic(ip)) return null;
  if (asn !== null) return `AS${asn}`;
  const address = ipaddr.process(ip);
  const family = address.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6;
  const cidr = `${address.toString()}/${address.kind() === 'ipv4' ? 16 : 48}`;
  return cidr.replace(/^.*(?=\/)/, family.networkAddressFromCIDR(cidr).toString());
}
