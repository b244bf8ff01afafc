/** What the profile becomes by a use. */
import type { Instant } from '../types.js';
import { type Activity, isPublic, type Place } from './activity.js';
import { type Client, shapeIn } from './client.js';
import type { Device } from './device.js';
import { solarOffset } from './geography.js';
import {
  type Area,
  code,
  type Habit,
  MOST,
  MOST_MOVES,
  MOST_SHAPES,
  type Profile,
  shortened,
  type Trace,
} from './profile.js';
import { isLongSilence, localTime } from './times.js';
import type { Move } from './travel.js';
import { areaOf, type Whereabouts } from './whereabouts.js';

const HOUR_MS = 3_600_000;
/** Refreshes follow each other by the quarter of an hour: what lies closer together than this is one visit. */
const VISIT_MS = 4 * HOUR_MS;

export interface Seen {
  where: Whereabouts;
  move: Move | null;
  device: Device;
  client: Client;
}

/** One more visit, unless the last was just now. The least used makes room for what is new. */
function visited<H extends Habit>(habits: H[], known: H | undefined, fresh: H, most: number): H[] {
  if (known !== undefined) {
    if (fresh.at - known.at < VISIT_MS) return habits;
    const again = { ...known, weight: known.weight + 1, at: fresh.at };
    return habits.map((habit) => (habit === known ? again : habit));
  }
  const kept = [...habits].sort((a, b) => b.weight - a.weight).slice(0, most - 1);
  return [...kept, fresh];
}

function named(habits: Habit[], name: string | null, at: Instant, most: number): Habit[] {
  if (name === null) return habits;
  const fresh = { name: shortened(name), weight: 1, at };
  const known = habits.find((habit) => habit.name === fresh.name);
  return visited(habits, known, fresh, most);
}

function inArea(areas: Area[], { coordinates, city, country }: Place, at: Instant): Area[] {
  if (coordinates === null) return areas;
  const fresh = { name: shortened(city ?? code(country)), weight: 1, at, coordinates: roundedOff(coordinates) };
  return visited(areas, areaOf(areas, coordinates), fresh, MOST.areas);
}

/** Hundredths of a degree are a kilometre: nobody needs to know better where a user was. */
const roundedOff = ({ lat, lon, radiusKm }: { lat: number; lon: number; radiusKm: number }) => ({
  lat: Math.round(lat * 100) / 100,
  lon: Math.round(lon * 100) / 100,
  radiusKm: Math.round(radiusKm),
});

function bounded(place: Place): Place {
  return {
    country: code(place.country),
    continent: place.continent === null ? null : code(place.continent),
    city: place.city === null ? null : shortened(place.city),
    coordinates: place.coordinates === null ? null : roundedOff(place.coordinates),
  };
}

function newsOf(
  before: Trace | undefined,
  { seen, weight }: Whereabouts,
  move: Move | null,
  at: Instant,
): Trace['news'] {
  if (seen !== null && seen !== 'known') return { at, weight: Math.round(weight * 100) / 100 };
  const stayed = move === null || move.from !== before;
  return stayed ? (before?.news ?? null) : null;
}

function shapesOf(before: readonly string[], shape: string | null): string[] {
  if (shape === null) return [...before];
  return [shape, ...before.filter((known) => known !== shape)].slice(0, MOST_SHAPES);
}

function traced(sessions: readonly Trace[], activity: Activity, place: Place | null, { where, move }: Seen): Trace[] {
  const before = sessions.find(({ session }) => session === activity.sessionId);
  // An event that comes late says nothing of where the session is now.
  if (before !== undefined && before.at > activity.at) return [...sessions];
  const device = activity.device === null ? (before?.device ?? null) : shortened(activity.device);
  const known = place === null ? (before?.place ?? null) : bounded(place);
  // Without a place the trace keeps the time at which the session was at the last one.
  const at = place === null && before !== undefined ? before.at : activity.at;
  const trace = {
    session: shortened(activity.sessionId),
    at,
    place: known,
    device,
    shapes: shapesOf(before?.shapes ?? [], shapeIn(activity)),
    news: newsOf(before, where, move, activity.at),
  };
  const others = sessions.filter(({ session }) => session !== activity.sessionId);
  return [trace, ...others].sort((a, b) => b.at - a.at).slice(0, MOST.sessions);
}

function moved(moves: Profile['moves'], move: Move | null): Profile['moves'] {
  if (move === null) return moves;
  const { all, tooFast } = moves[move.reach];
  const share = all >= MOST_MOVES ? (MOST_MOVES - 1) / all : 1;
  return {
    ...moves,
    [move.reach]: {
      all: Math.round((all * share + 1) * 1e4) / 1e4,
      tooFast: Math.round((tooFast * share + (move.tooFast ? 1 : 0)) * 1e4) / 1e4,
    },
  };
}

function timed(profile: Profile, at: Instant): Pick<Profile, 'hours' | 'days' | 'hourAt' | 'offset'> {
  const thisHour = (Math.floor(at / HOUR_MS) * HOUR_MS) as Instant;
  const home = profile.areas.reduce<Area | null>((a, b) => (a === null || b.weight > a.weight ? b : a), null);
  const solar = home === null ? profile.offset : solarOffset(home.coordinates);
  // Two homes in one time zone would otherwise take turns.
  const moved = Math.abs(solar - profile.offset) > 1 || profile.hourAt === 0;
  const offset = moved ? solar : profile.offset;
  if (thisHour <= profile.hourAt) return { hours: profile.hours, days: profile.days, hourAt: profile.hourAt, offset };
  const local = localTime(at, offset);
  const more = (weight: number, i: number, now: number) => (i === now ? weight + 1 : weight);
  return {
    hours: profile.hours.map((weight, i) => more(weight, i, local.hour)),
    days: profile.days.map((weight, i) => more(weight, i, local.day)),
    hourAt: thisHour,
    offset,
  };
}

export function learned(profile: Profile, activity: Activity, seen: Seen): Profile {
  const { at } = activity;
  const { where, move, device, client } = seen;
  const firsts = { ...profile.firsts };
  if (where.seen !== null && where.seen !== 'known') {
    firsts[where.seen] += 1;
    if (activity.hosting) firsts.hosting += 1;
  }
  if (isLongSilence(profile, at)) firsts.silence += 1;
  const isLogin = activity.kind === 'login';
  const common = {
    lastAt: Math.max(profile.lastAt, at) as Instant,
    firsts,
    logins: profile.logins + (isLogin ? 1 : 0),
    newDevices: profile.newDevices + (isLogin && device.seen === 'new' ? 1 : 0),
    changedDevices: profile.changedDevices + (device.seen === 'changed' ? 1 : 0),
    changedClients: profile.changedClients + (client.seen === 'changed' ? 1 : 0),
    devices: named(profile.devices, activity.device, at, MOST.devices),
    moves: moved(profile.moves, move),
  };
  const place = isPublic(activity.ip) ? activity.place : null;
  const sessions = traced(profile.sessions, activity, place, seen);
  if (place === null) return { ...profile, ...common, ...timed(profile, at), sessions };
  const networks = named(profile.networks, activity.network, at, MOST.networks);
  const areas = inArea(profile.areas, place, at);
  return {
    ...profile,
    ...common,
    visits: profile.visits + (networks === profile.networks ? 0 : 1),
    continents: named(profile.continents, place.continent && code(place.continent), at, MOST.continents),
    countries: named(profile.countries, code(place.country), at, MOST.countries),
    areas,
    networks,
    ...timed({ ...profile, areas }, at),
    sessions,
  };
}
