/** Places from an mmdb file, read once, whole: whoever replaces the file starts the service again. */
import { fileURLToPath } from 'node:url';
import ipaddr from 'ipaddr.js';
import maxmind from 'maxmind';
import type { Places } from '../../ports/places.js';

/** Countries alone: who wants cities brings a database of their own. */
export const COUNTRY_DATABASE = fileURLToPath(
  import.meta.resolve('@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb'),
);

/** As MaxMind and DB-IP nest it, and as ip-location-db and IPinfo write it flat. */
export interface GeoRecord {
  country?: { iso_code?: string } | string;
  country_code?: string;
  city?: { names?: { en?: string } } | string;
}

const countryIn = ({ country, country_code }: GeoRecord): string | undefined =>
  country_code ?? (typeof country === 'string' ? country : country?.iso_code);

const cityIn = ({ city }: GeoRecord): string | null => (typeof city === 'string' ? city : city?.names?.en) ?? null;

export const placeIn = (record: GeoRecord): string | null =>
  [cityIn(record), countryIn(record)].filter(Boolean).join(', ') || null;

/** Rejects with what is wrong with the file, for the operator who named it. */
export async function openPlaces(path: string): Promise<Places> {
  const reader = await maxmind.open(path).catch((error: NodeJS.ErrnoException) => {
    // What the system says of a file has a call in it; what the reader says of its content has not.
    const unreadable = error.syscall !== undefined;
    throw new Error(unreadable ? `cannot be read (${error.code})` : 'is not a database in the mmdb format');
  });
  function recordOf(ip: string): GeoRecord | null {
    if (!ipaddr.isValid(ip)) return null;
    // IPv4 in IPv6 dress is looked up as IPv4.
    const address = ipaddr.process(ip);
    // Databases have been seen that put private networks into the country of whoever wrote about them.
    if (address.range() !== 'unicast') return null;
    try {
      return reader.get(address.toString()) as GeoRecord | null;
    } catch {
      // A place is a help to the reader: a damaged record is no reason to refuse a login.
      return null;
    }
  }
  return {
    placeOf(ip) {
      const record = recordOf(ip);
      return record && placeIn(record);
    },
    locate(ip) {
      const record = recordOf(ip);
      const country = record && countryIn(record);
      return country
        ? { place: { country, continent: null, city: cityIn(record), coordinates: null }, asn: null }
        : null;
    },
  };
}
