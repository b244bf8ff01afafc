/**
 * What is remembered of a user: plain JSON of bounded size, whatever happens. Its numbers fade with a half-life of
 * 45 days, so that a user who has moved is at home in the new place after a season.
 */
import type { Instant } from '../types.js';
import type { Coordinates, Place } from './activity.js';
import type { Novelty, Reach } from './model.js';

export const PROFILE_VERSION = 2;
export const HALF_LIFE_DAYS = 45;
/** As JSON, in UTF-8, with the longest names in the widest letters. A usual profile has 3.5 KB. */
export const MOST_PROFILE_BYTES = 12_288;

/** How many of each are kept. VPN users and travellers need the most; what is used least goes first. */
export const MOST = { continents: 7, countries: 10, areas: 10, networks: 16, devices: 8, sessions: 8 };
/** A client may have two ways to refresh, such as one in the background; or a gateway in between by day. */
export const MOST_SHAPES = 2;
/** Characters that are kept of a name: those of a UUID. */
const MOST_CHARACTERS = 36;
/** What JSON would have to escape, and whatever else a name is not made of. */
const NO_PART_OF_NAMES = /[^\p{L}\p{M}\p{N} .,:/()'-]/gu;
/** Of moves no more are kept than that, so that a user who moves all day is not known too well to change. */
export const MOST_MOVES = 40;
/** What has faded to this is forgotten. */
const FORGOTTEN = 0.02;

/** Something that the user does, and how often. */
export interface Habit {
  name: string;
  /** Visits: uses at least four hours apart. */
  weight: number;
  /** When it was counted last. */
  at: Instant;
}

export interface Area extends Habit {
  coordinates: Coordinates;
}

/** Where and on what a session was used last. */
export interface Trace {
  session: string;
  at: Instant;
  /** Null until it was used from a place that is known; then the last such. */
  place: Place | null;
  device: string | null;
  /** Of its latest refreshes, the latest first. */
  shapes: string[];
  /** When it came to a place that was new to the user, and the weight of that; null where it was no news. */
  news: { at: Instant; weight: number } | null;
}

export interface Profile {
  version: number;
  /** Until when all weights have faded. */
  fadedAt: Instant;
  /** Of the first activity, and of the latest. */
  since: Instant;
  lastAt: Instant;
  /** All visits, of forgotten networks too. */
  visits: number;
  /** Visits to something new, by how new it was, and to hosters among it; and returns after a long silence. */
  firsts: Record<Novelty | 'hosting' | 'silence', number>;
  continents: Habit[];
  countries: Habit[];
  areas: Area[];
  networks: Habit[];
  logins: number;
  newDevices: number;
  changedDevices: number;
  changedClients: number;
  devices: Habit[];
  /** Active hours by hour of the day and day of the week (Sunday first), in the user's usual time. */
  hours: number[];
  days: number[];
  /** Hours by which the usual time is ahead of UTC. */
  offset: number;
  /** The hour counted last. */
  hourAt: Instant;
  /** Moves to another area: how many there were, and how many were too fast. */
  moves: Record<Reach, { all: number; tooFast: number }>;
  /** Most recently used first. */
  sessions: Trace[];
}

export const emptyProfile = (at: Instant): Profile => ({
  version: PROFILE_VERSION,
  fadedAt: at,
  since: at,
  lastAt: at,
  visits: 0,
  firsts: { continent: 0, country: 0, area: 0, network: 0, hosting: 0, silence: 0 },
  continents: [],
  countries: [],
  areas: [],
  networks: [],
  logins: 0,
  newDevices: 0,
  changedDevices: 0,
  changedClients: 0,
  devices: [],
  hours: new Array<number>(24).fill(0),
  days: new Array<number>(7).fill(0),
  offset: 0,
  hourAt: 0 as Instant,
  moves: {
    country: { all: 0, tooFast: 0 },
    continent: { all: 0, tooFast: 0 },
    world: { all: 0, tooFast: 0 },
  },
  sessions: [],
});

export const shortened = (name: string): string => name.slice(0, MOST_CHARACTERS).replace(NO_PART_OF_NAMES, '');
/** Of a country or continent. */
export const code = (name: string): string => shortened(name.slice(0, 2));

const DAY_MS = 86_400_000;

/** The profile as it is at `at`: weights fade by whole days, so that most uses cost nothing and lose no digits. */
export function faded(profile: Profile, at: Instant): Profile {
  const days = Math.floor((at - profile.fadedAt) / DAY_MS);
  if (days < 1) return profile;
  const factor = 2 ** (-days / HALF_LIFE_DAYS);
  const fade = (weight: number) => Math.round(weight * factor * 1e4) / 1e4;
  const fadeAll = <H extends Habit>(habits: H[]) =>
    habits.map((habit) => ({ ...habit, weight: fade(habit.weight) })).filter(({ weight }) => weight > FORGOTTEN);
  const fadeEach = <K extends string>(weights: Record<K, number>) =>
    Object.fromEntries(Object.entries<number>(weights).map(([key, weight]) => [key, fade(weight)])) as typeof weights;
  const { country, continent, world } = profile.moves;
  return {
    ...profile,
    fadedAt: (profile.fadedAt + days * DAY_MS) as Instant,
    visits: fade(profile.visits),
    firsts: fadeEach(profile.firsts),
    continents: fadeAll(profile.continents),
    countries: fadeAll(profile.countries),
    areas: fadeAll(profile.areas),
    networks: fadeAll(profile.networks),
    logins: fade(profile.logins),
    newDevices: fade(profile.newDevices),
    changedDevices: fade(profile.changedDevices),
    changedClients: fade(profile.changedClients),
    devices: fadeAll(profile.devices),
    hours: profile.hours.map(fade),
    days: profile.days.map(fade),
    moves: { country: fadeEach(country), continent: fadeEach(continent), world: fadeEach(world) },
  };
}

/** Whoever was somewhere, nobody remembers where, is a new user: even home would be a new continent. */
export const isForgotten = (before: Profile, now: Profile): boolean =>
  before.countries.length > 0 && now.countries.length === 0;
