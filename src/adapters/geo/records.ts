/**
 * What a record of an mmdb file says, in the forms of those who make them: MaxMind and DB-IP nest it, ip-location-db and
 * IPinfo write it flat. A damaged file may hold anything, of any type: what makes no sense is not known.
 */
import type { Coordinates, Place } from '../../domain/anomalies/activity.js';
import { countries } from './countries.js';

/** Where a city is named without how sure that is. MaxMind's radii are of this order. */
const CITY_RADIUS_KM = 50;

const CONTINENTS = new Set(['AF', 'AN', 'AS', 'EU', 'NA', 'OC', 'SA']);

type Fields = Record<string, unknown>;
const isMap = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);
const fieldsOf = (value: unknown): Fields => (isMap(value) ? value : {});
/** What no name has, and PostgreSQL would refuse a login for: control characters, halves of letters. */
const NO_PART_OF_NAMES = /\p{C}/gu;
const MOST_CHARACTERS = 100;
const textOf = (value: unknown): string | null => {
  if (typeof value !== 'string') return null;
  const text = value.slice(0, MOST_CHARACTERS).replace(NO_PART_OF_NAMES, '').trim();
  return text === '' ? null : text;
};
/** IPinfo writes numbers as text. */
const numberOf = (value: unknown): number | null => {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
};

function countryIn({ country, country_code }: Fields): string | null {
  const code = textOf(country_code) ?? textOf(country) ?? textOf(fieldsOf(country).iso_code);
  return code !== null && /^[A-Z]{2}$/.test(code) ? code : null;
}

const cityIn = ({ city }: Fields): string | null => textOf(city) ?? textOf(fieldsOf(fieldsOf(city).names).en);

function coordinatesIn(record: Fields, city: string | null): Coordinates | null {
  const location = fieldsOf(record.location);
  const lat = numberOf(location.latitude ?? record.latitude ?? record.lat);
  const lon = numberOf(location.longitude ?? record.longitude ?? record.lng);
  if (lat === null || lon === null || Math.abs(lat) > 90 || Math.abs(lon) > 180) return null;
  const radiusKm = numberOf(location.accuracy_radius) ?? (city === null ? null : CITY_RADIUS_KM);
  // A point without a radius, in no city, is the middle of something: the country's circle says of what.
  return radiusKm === null || radiusKm < 0 ? null : { lat, lon, radiusKm };
}

export function placeIn(value: unknown): Place | null {
  const record = fieldsOf(value);
  const country = countryIn(record);
  if (country === null) return null;
  const [continentOfTable, lat, lon, radiusKm] = countries[country] ?? [null, null, null, null];
  const named = textOf(fieldsOf(record.continent).code) ?? textOf(record.continent_code);
  const circle = lat === null ? null : { lat, lon, radiusKm };
  const city = cityIn(record);
  return {
    country,
    continent: named !== null && CONTINENTS.has(named) ? named : continentOfTable,
    city,
    coordinates: coordinatesIn(record, city) ?? circle,
  };
}

/** For people: a city without a country is told as well. */
export function placeNameIn(value: unknown): string | null {
  const record = fieldsOf(value);
  return [cityIn(record), countryIn(record)].filter(Boolean).join(', ') || null;
}

export interface Network {
  asn: number;
  organisation: string | null;
}

/** IPinfo writes `asn: 'AS3320'`. */
export function networkIn(value: unknown): Network | null {
  const record = fieldsOf(value);
  const asn = numberOf(record.autonomous_system_number) ?? numberOf(textOf(record.asn)?.replace(/^AS/, ''));
  if (asn === null || !Number.isInteger(asn) || asn <= 0 || asn > 0xffff_ffff) return null;
  const organisation = textOf(record.autonomous_system_organization) ?? textOf(record.as_name) ?? textOf(record.name);
  return { asn, organisation };
}
