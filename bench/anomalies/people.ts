/** Who uses the service: where they live and work, on which networks and devices, and what they are used to. */
import type { Chance } from '../../test/support/seeded.js';
import { type City, cities, elsewhere } from './cities.js';

/** A network at a place, as a database of addresses sees it. */
export interface Spot {
  city: City;
  network: string;
  radiusKm: number;
  /** Of servers or VPN exits, and known as such. */
  hosting: boolean;
}

export interface Gadget {
  name: string;
  /** `phone` is where its owner is; the others are taken along on some trips, or stay. */
  role: 'phone' | 'laptop' | 'desktop';
  /** Refreshes by itself, day and night. */
  alwaysOn: boolean;
  /** How often an update changes what it sends by itself, besides the user agent. */
  changesAYear: number;
  /** Share of its refreshes that another part of it does, in another way: in the background, say. */
  otherWay: number;
}

export interface Person {
  home: Spot;
  /** Where a database has the home's address. */
  homeSeen: Spot;
  /** Null for those who do not go out to work. */
  work: Spot | null;
  /** Where the carrier's addresses appear to be: one or several of its sites, seldom where the phone is. */
  mobile: Spot[];
  gadgets: Gadget[];
  /** Hours of local time on a working day; below `wakes` where the night is short. */
  wakes: number;
  sleeps: number;
  /** Share of the days with any use. */
  diligence: number;
  tripsAYear: { holidays: number; business: number };
  /** Sites of a VPN that is switched on now and then, and how often; or of a company's, which is always on at work. */
  vpn: { spots: Spot[]; share: number; from: number } | null;
  companyVpn: { spot: Spot; from: number; rewrites: boolean } | null;
  /** Day on which the person moves, buys a phone, or begins a long pause; Infinity for most. */
  movesOn: number;
  buysOn: number;
  pause: { from: number; days: number };
}

export const likely = (chance: Chance, share: number): boolean => chance.next() < share;

export function weighted<T>(chance: Chance, of: readonly T[], weight: (item: T) => number): T {
  let left = chance.next() * of.reduce((sum, item) => sum + weight(item), 0);
  for (const item of of) {
    left -= weight(item);
    if (left < 0) return item;
  }
  return chance.pick(of);
}

/** A country has a few providers of each kind. Some are the same at home and on the phone. */
export function spotIn(chance: Chance, city: City, kind: 'home' | 'work' | 'public' | 'mobile' | 'hosting'): Spot {
  const providers = { home: 5, work: 40, public: 12, mobile: 3, hosting: 30 }[kind];
  const radiusKm = { home: 20, work: 10, public: 20, mobile: 100, hosting: 5 }[kind];
  // The second provider of homes is the first carrier: most incumbents are both.
  const provider = Math.floor(chance.next() * providers);
  const network = kind === 'mobile' && provider === 0 ? 'home-1' : `${kind}-${provider}`;
  // The names of four hosters in five tell what they are; and one hotel in 25 has its line from a hoster.
  const hosting = (kind === 'hosting' && provider % 5 !== 0) || (kind === 'public' && likely(chance, 0.04));
  return { city, network: `AS-${city.country}-${network}`, radiusKm, hosting };
}

const phones = [
  'Safari on iOS',
  'Chrome on Android',
  'Example App on iOS',
  'Example App on Android',
  'Firefox on Android',
];
const computers = ['Chrome on Windows', 'Edge on Windows', 'Safari on macOS', 'Chrome on macOS', 'Firefox on Linux'];

/** Browsers got a new content encoding or a new header about once a year; apps change as their makers please. */
function gadget(chance: Chance, name: string, role: Gadget['role'], alwaysOn: boolean): Gadget {
  const changesAYear = name.startsWith('Example App') ? chance.between(0, 6) : chance.between(0.5, 2);
  return { name, role, alwaysOn, changesAYear, otherWay: likely(chance, 0.08) ? chance.between(0.01, 0.5) : 0 };
}

export const newPhone = (chance: Chance): Gadget =>
  gadget(
    chance,
    weighted(chance, phones, (name) => (name.startsWith('Firefox') ? 0.2 : 1)),
    'phone',
    likely(chance, 0.35),
  );
export const anyDevice = (chance: Chance): string => chance.pick([...phones, ...computers, 'curl on Linux']);

/** The carrier has its own site for addresses where the user is, or one or several far away. */
function carrier(chance: Chance, home: City): Spot[] {
  const first = spotIn(chance, home, 'mobile');
  if (likely(chance, 0.5)) return [first];
  const sites = elsewhere.sameCountry(home).filter(() => likely(chance, 0.5));
  return [home, ...sites].slice(likely(chance, 0.5) && sites.length > 0 ? 1 : 0).map((city) => ({ ...first, city }));
}

/** Companies have their gateways where they are: seldom abroad. */
function gatewayOf(chance: Chance, home: City): City {
  const where = weighted(chance, ['here', 'country', 'continent', 'world'] as const, (kind) => {
    return { here: 50, country: 30, continent: 13, world: 7 }[kind];
  });
  const choice = {
    here: [home],
    country: elsewhere.sameCountry(home),
    continent: elsewhere.sameContinent(home),
    world: elsewhere.otherContinent(home),
  }[where];
  return choice.length === 0 ? home : chance.pick(choice);
}

export function makePerson(chance: Chance, weeks: number): Person {
  const city = weighted(chance, cities, ({ users }) => users);
  const near = elsewhere.sameCountry(city);
  const commutesFar = near.length > 0 && likely(chance, 0.07);
  const worksAt = commutesFar ? chance.pick(near) : city;
  const owl = likely(chance, 0.12) ? 4 : 0;
  const wakes = 6 + chance.next() * 2.5 + owl;
  const gadgets: Gadget[] = [];
  if (likely(chance, 0.92)) gadgets.push(newPhone(chance));
  if (likely(chance, 0.7)) gadgets.push(gadget(chance, chance.pick(computers), 'laptop', false));
  if (likely(chance, 0.4) || gadgets.length === 0)
    gadgets.push(gadget(chance, chance.pick(computers), 'desktop', likely(chance, 0.1)));
  const gateway = spotIn(chance, gatewayOf(chance, city), 'hosting');
  const exits = Array.from({ length: 4 }, () =>
    spotIn(
      chance,
      weighted(chance, cities, ({ users }) => users),
      'hosting',
    ),
  );
  const days = weeks * 7;
  const sometime = (aYear: number) =>
    likely(chance, (aYear * weeks) / 52) ? Math.floor(chance.next() * days) : Infinity;
  // As many begin as it takes to keep the share, if each stays for four years.
  const vpnFrom = likely(chance, 0.08) ? 0 : sometime(0.08 / 4);
  const gatewayFrom = likely(chance, 0.1) ? 0 : sometime(0.1 / 4);
  const begins = (day: number) => day !== Infinity;
  const home = spotIn(chance, city, 'home');
  return {
    home,
    homeSeen: home,
    work: likely(chance, 0.75) ? spotIn(chance, worksAt, 'work') : null,
    mobile: carrier(chance, city),
    gadgets,
    wakes,
    sleeps: wakes + 15 + chance.next() * 2.5,
    diligence: likely(chance, 0.2) ? chance.between(0.05, 0.4) : chance.between(0.7, 1),
    tripsAYear: { holidays: chance.between(0, 4), business: likely(chance, 0.12) ? chance.between(3, 14) : 0 },
    vpn: begins(vpnFrom) ? { spots: exits, share: chance.between(0.05, 0.8), from: vpnFrom } : null,
    companyVpn: begins(gatewayFrom) ? { spot: gateway, from: gatewayFrom, rewrites: likely(chance, 0.2) } : null,
    movesOn: sometime(0.1),
    buysOn: sometime(0.4),
    pause: { from: sometime(0.15), days: 20 + Math.floor(chance.next() * 50) },
  };
}
