/** Places, times and distances as a person reads them in a finding. */
import type { Place } from './activity.js';

const continents: Record<string, string> = {
  AF: 'Africa',
  AN: 'Antarctica',
  AS: 'Asia',
  EU: 'Europe',
  NA: 'North America',
  OC: 'Oceania',
  SA: 'South America',
};

/** Made with the first finding: Intl reads of all its languages then, which is 7 MB, and 20 ms of a start. */
let regions: Intl.DisplayNames | undefined;
let twoFigures: Intl.NumberFormat | undefined;

function regionName(code: string): string {
  regions ??= new Intl.DisplayNames('en', { type: 'region', fallback: 'code' });
  return regions.of(code) ?? code;
}

export const continentName = (code: string): string => continents[code] ?? code;
/** A database may hold anything for a country, and `of` throws at what is no code. */
export const countryName = (code: string): string => (/^[A-Z]{2}$/.test(code) ? regionName(code) : code);
export const placeName = ({ city, country }: Place): string => city ?? countryName(country);

/** Two figures that count: nothing about places is known any better. */
export function rounded(value: number): string {
  twoFigures ??= new Intl.NumberFormat('en', { maximumSignificantDigits: 2 });
  return twoFigures.format(value);
}

export const percent = (share: number): string => `${rounded(share * 100)} %`;

/** `25 s`, `40 min`, `2 h 10 min`, `3 d 4 h` */
export function duration(ms: number): string {
  const units = [
    { name: 'd', s: 86_400 },
    { name: 'h', s: 3600 },
    { name: 'min', s: 60 },
    { name: 's', s: 1 },
  ];
  const secs = Math.round(ms / 1000);
  const first = units.findIndex(({ s }) => secs >= s);
  const largest = units[first];
  if (largest === undefined) return 'no time';
  const count = Math.floor(secs / largest.s);
  const next = units[first + 1];
  const rest = next === undefined || largest.name === 'min' ? 0 : Math.floor((secs % largest.s) / next.s);
  return `${count} ${largest.name}${rest > 0 ? ` ${rest} ${next?.name}` : ''}`;
}
