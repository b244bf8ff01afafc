/** What a person does over the weeks, as the service sees it: a list of logins and refreshes in the order of time. */
import type { Activity } from '../../src/domain/anomalies/activity.js';
import { distanceKm } from '../../src/domain/anomalies/geography.js';
import { instant, type SessionId, type UserId } from '../../src/domain/types.js';
import type { Chance } from '../../test/support/seeded.js';
import { type City, elsewhere } from './cities.js';
import { type Gadget, likely, newPhone, type Person, type Spot, spotIn, weighted } from './people.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** A Monday. */
export const BEGIN = Date.UTC(2026, 0, 5);
const SESSION_DAYS = 90;
const IDLE_DAYS = 14;

export interface Trip {
  city: City;
  /** Days on which it begins and ends. */
  from: number;
  to: number;
  /** Milliseconds since the beginning. On the way, from door to door, nothing is used. */
  leaves: number;
  arrives: number;
  leavesAgain: number;
  isBack: number;
  hotel: Spot;
  /** What the phone is on when it is not on the hotel's network. */
  mobile: Spot[];
  takes: Set<Gadget>;
}

/** A stretch of use: one device, one network, from one moment to another. */
interface Stretch {
  from: number;
  to: number;
  spot: Spot;
  gadget: Gadget;
}

const asCoordinates = ({ lat, lon }: City) => ({ lat, lon, radiusKm: 0 });
/** Airliners do 850 km/h, and the way to and through airports takes three to six hours; below 500 km people drive. */
function wayHours(chance: Chance, from: City, to: City): number {
  const km = distanceKm(asCoordinates(from), asCoordinates(to));
  return km < 500 ? km / 80 : km / 850 + chance.between(1.5, 6);
}

/**
 * A roaming phone is seen at its carrier's own sites at home, wherever it is. Far away that is dear: people take a SIM of the
 * country, or do without.
 */
function roaming(chance: Chance, home: City, to: City): 'home' | 'local' | 'never' {
  const shares =
    home.continent === to.continent ? { home: 80, local: 10, never: 10 } : { home: 30, local: 40, never: 30 };
  return weighted(chance, ['home', 'local', 'never'] as const, (how) => shares[how]);
}

function planTrips(chance: Chance, person: Person, days: number): Trip[] {
  const trips: Trip[] = [];
  const plan = (aYear: number, length: () => number, where: () => readonly City[]) => {
    const count = Math.floor((aYear * days) / 365 + chance.next());
    for (let i = 0; i < count; i++) {
      const choice = where();
      if (choice.length === 0) continue;
      const city = chance.pick(choice);
      const from = Math.floor(chance.next() * days);
      const to = from + Math.max(1, Math.round(length()));
      if (trips.some((trip) => from <= trip.to + 1 && to >= trip.from - 1)) continue;
      const phone = spotIn(chance, city, 'mobile');
      const leaves = from * DAY + (chance.between(5, 18) - person.home.city.offset) * HOUR;
      const leavesAgain = to * DAY + (chance.between(5, 18) - city.offset) * HOUR;
      const arrives = leaves + wayHours(chance, person.home.city, city) * HOUR;
      if (arrives >= leavesAgain) continue;
      trips.push({
        city,
        from,
        to,
        leaves,
        arrives,
        leavesAgain,
        isBack: leavesAgain + wayHours(chance, city, person.home.city) * HOUR,
        hotel: spotIn(chance, city, 'public'),
        mobile: { home: person.mobile, local: [phone], never: [] }[roaming(chance, person.home.city, city)],
        takes: new Set(
          person.gadgets.filter(({ role }) => role === 'phone' || (role === 'laptop' && likely(chance, 0.5))),
        ),
      });
    }
  };
  const { home } = person;
  // Of the trips of EU residents in 2017, 73 % were within the country, 21 % to the EU, and 6 % elsewhere (Eurostat).
  const somewhere = () => {
    const x = chance.next();
    if (x < 0.73) return elsewhere.sameCountry(home.city);
    return x < 0.94 ? elsewhere.sameContinent(home.city) : elsewhere.otherContinent(home.city);
  };
  plan(person.tripsAYear.holidays, () => chance.between(3, 16), somewhere);
  plan(person.tripsAYear.business, () => chance.between(1, 4), somewhere);
  return trips;
}

/** Where somebody is on a day, in stretches; instants count from the beginning. */
function dayOf(chance: Chance, person: Person, day: number, trip: Trip | undefined): Stretch[] {
  const weekday = day % 7 < 5;
  const stretches: Stretch[] = [];
  const city = trip?.city ?? person.home.city;
  const midnight = day * DAY - city.offset * HOUR;
  const late = weekday && !trip ? 0 : 1.5;
  const [wakes, sleeps] = [person.wakes + late + chance.next() - 0.5, person.sleeps + chance.next() - 0.5];
  const carried = person.gadgets.filter((gadget) => (trip ? trip.takes.has(gadget) : true));
  const phone = carried.find(({ role }) => role === 'phone');
  const add = (gadget: Gadget | undefined, spot: Spot | undefined, hour: number, hours: number) => {
    if (gadget === undefined || spot === undefined || hour < wakes - 0.2 || hour + hours > sleeps + 0.2) return;
    stretches.push({ from: midnight + hour * HOUR, to: midnight + (hour + hours) * HOUR, spot, gadget });
  };
  // A stretch of use with the VPN on is seen from one of its sites, most often the same.
  const seen = (spot: Spot): Spot => {
    const { vpn } = person;
    if (vpn === null || day < vpn.from || !likely(chance, vpn.share)) return spot;
    return weighted(chance, vpn.spots, (site) => 1 / (1 + vpn.spots.indexOf(site)) ** 2);
  };
  const mobile = () => {
    const spots = trip?.mobile ?? person.mobile;
    return spots.length === 0 ? undefined : chance.pick(spots);
  };
  const some = (gadget: Gadget | undefined, spot: () => Spot | undefined, from: number, to: number, times: number) => {
    for (let i = 0; i < times; i++) {
      const hour = chance.between(from, to);
      add(gadget, spot(), hour, Math.min(chance.between(0.05, 1.5), to - hour));
    }
  };
  const laptop = carried.find(({ role }) => role === 'laptop');
  const computers = carried.filter(({ role }) => role !== 'phone');
  const desk = computers.length === 0 ? undefined : chance.pick(computers);

  if (trip) {
    const lodging = () => seen(trip.hotel);
    const cafe = spotIn(chance, city, 'public');
    some(phone, lodging, wakes, wakes + 2, 1);
    some(phone, mobile, wakes + 2, sleeps - 3, 3);
    some(phone, () => (likely(chance, 0.4) ? cafe : undefined), wakes + 3, sleeps - 3, 1);
    some(phone, lodging, sleeps - 3, sleeps, 2);
    some(desk, lodging, sleeps - 4, sleeps, 1);
    return stretches;
  }
  const { homeSeen: home, work } = person;
  const company = person.companyVpn !== null && day >= person.companyVpn.from ? person.companyVpn.spot : null;
  const atWork = weekday && work !== null && likely(chance, 0.75);
  some(phone, () => seen(home), wakes, wakes + 1, 1);
  if (atWork) {
    const begins = wakes + 1.5;
    const office = company ?? work;
    some(phone, mobile, wakes + 0.7, begins, 1);
    some(laptop, () => office, begins, begins + 8, 3);
    some(phone, () => (likely(chance, 0.5) ? work : mobile()), begins, begins + 8, 3);
    some(phone, mobile, begins + 8, begins + 9, 1);
  } else {
    some(phone, () => (likely(chance, 0.6) ? seen(home) : mobile()), wakes + 1, sleeps - 4, 4);
    const office = weekday ? company : null;
    some(desk, () => office ?? seen(home), wakes + 1, sleeps - 4, 2);
    if (likely(chance, 0.08)) some(phone, () => spotIn(chance, city, 'public'), wakes + 3, sleeps - 3, 1);
    const near = elsewhere.sameCountry(city).filter((to) => distanceKm(asCoordinates(city), asCoordinates(to)) < 400);
    if (!weekday && near.length > 0 && likely(chance, 0.06)) {
      const visited = spotIn(chance, chance.pick(near), 'home');
      some(phone, () => visited, wakes + 5, sleeps - 5, 2);
    }
  }
  some(phone, () => seen(home), sleeps - 4, sleeps, 2);
  some(desk, () => seen(home), sleeps - 4, sleeps, 1);
  return stretches;
}

/** Devices that refresh by themselves do so wherever they are left for the night or the trip. */
function byItself(chance: Chance, person: Person, day: number, trip: Trip | undefined): Stretch[] {
  const stretches: Stretch[] = [];
  for (const gadget of person.gadgets.filter(({ alwaysOn }) => alwaysOn)) {
    if (trip ? !trip.takes.has(gadget) : false) continue;
    const spot = trip ? trip.hotel : person.homeSeen;
    const { offset } = trip ? trip.city : person.home.city;
    // A phone lies at home by night; a computer that is left on is there all day.
    const [first, last] = gadget.role === 'phone' ? [0.5, 5.5] : [0, 24];
    for (let hour = first; hour < last; hour += chance.between(0.8, 2)) {
      const from = day * DAY + (hour - offset) * HOUR;
      stretches.push({ from, to: from, spot, gadget });
    }
  }
  return stretches;
}

/** A database of addresses is wrong about one block in a few hundred. */
function misplaced(chance: Chance, spot: Spot): City {
  if (!likely(chance, 1 / 400)) return spot.city;
  const inCountry = elsewhere.sameCountry(spot.city);
  const where = likely(chance, 0.9) ? inCountry : elsewhere.sameContinent(spot.city);
  return where.length === 0 ? spot.city : chance.pick(where);
}

const uuid = (a: number, b: number) =>
  `01900000-0000-7000-8000-${a.toString(16).padStart(6, '0')}${b.toString(16).padStart(6, '0')}`;

type About = Pick<Activity, 'userId' | 'sessionId' | 'kind' | 'device' | 'shape'>;

export function activityAt(at: number, spot: Spot, about: About): Activity {
  const { city, network, radiusKm, hosting } = spot;
  const coordinates = { lat: city.lat, lon: city.lon, radiusKm };
  const place = { country: city.country, continent: city.continent, city: city.name, coordinates };
  const where = { ip: '20.0.0.1', network, place, hosting };
  return { ...about, ...where, at: instant(Math.round(BEGIN + at)), knownDevice: false };
}

/** What each gadget sends by itself, which changes by an update now and then, and by a gateway that rewrites it. */
function shapes(chance: Chance, { companyVpn }: Person): (gadget: Gadget, at: number, spot: Spot) => string {
  const of = new Map<Gadget, { version: number; until: number }>();
  const lasts = ({ changesAYear }: Gadget) => (-Math.log(1 - chance.next()) / changesAYear) * 365 * DAY;
  return (gadget, at, spot) => {
    const now = of.get(gadget) ?? { version: 0, until: lasts(gadget) };
    of.set(gadget, now);
    while (at > now.until) {
      now.version++;
      now.until += lasts(gadget);
    }
    const way = likely(chance, gadget.otherWay) ? ' otherwise' : '';
    const rewritten = companyVpn?.rewrites && spot === companyVpn.spot ? ' rewritten' : '';
    return `${gadget.name} ${now.version}${way}${rewritten}`;
  };
}

interface Open {
  id: SessionId;
  since: number;
  last: number;
}

/** All that a person does, while the days change the person's circumstances; not yet in order. */
function stretchesOf(chance: Chance, owner: Person, days: number): Stretch[] {
  const person = { ...owner };
  const trips = planTrips(chance, person, days);
  const all: Stretch[] = [];
  for (let day = 0; day < days; day++) {
    if (day === person.movesOn) {
      const near = elsewhere.sameCountry(person.home.city);
      const to = near.length > 0 && likely(chance, 0.5) ? chance.pick(near) : person.home.city;
      person.home = spotIn(chance, to, 'home');
    }
    if (day === person.buysOn) {
      const phone = newPhone(chance);
      person.gadgets = [phone, ...person.gadgets.filter(({ role }) => role !== 'phone')];
      for (const trip of trips) trip.takes.add(phone);
    }
    // The router gets another address each week, and now and then the database has that elsewhere.
    if (day % 7 === 0 || day === person.movesOn)
      person.homeSeen = { ...person.home, city: misplaced(chance, person.home) };
    const isPause = day >= person.pause.from && day < person.pause.from + person.pause.days;
    const uses = !isPause && likely(chance, person.diligence);
    // Days of departure and of return are spent in two places; the clock tells which part where.
    const isAway = (at: number) => trips.some(({ leaves, isBack }) => at > leaves && at < isBack);
    const stays = (at: number, gadget: Gadget) =>
      trips.some((trip) => at > trip.leaves && at < trip.isBack && !trip.takes.has(gadget));
    if (uses) all.push(...dayOf(chance, person, day, undefined).filter(({ from, to }) => !isAway(from) && !isAway(to)));
    const alone = byItself(chance, person, day, undefined);
    all.push(...alone.filter(({ from, gadget }) => !isAway(from) || stays(from, gadget)));
    const trip = trips.find(({ from, to }) => day >= from && day <= to + 1);
    if (trip === undefined || isPause) continue;
    const there = [...(uses ? dayOf(chance, person, day, trip) : []), ...byItself(chance, person, day, trip)];
    all.push(...there.filter(({ from, to }) => from > trip.arrives && to < trip.leavesAgain));
  }
  return all;
}

export function trafficOf(chance: Chance, person: Person, number: number, days: number): Activity[] {
  const all = stretchesOf(chance, person, days);
  const userId = uuid(number, 0) as UserId;
  const sessions = new Map<Gadget, Open>();
  const known = new Set<Gadget>();
  const shapeOf = shapes(chance, person);
  const activities: Activity[] = [];
  let opened = 0;
  const uses = all.flatMap((stretch) => {
    const times: number[] = [];
    for (let at = stretch.from; at <= stretch.to; at += chance.between(15, 20) * 60_000) times.push(at);
    return times.map((at) => ({ ...stretch, at }));
  });
  for (const { at, spot, gadget } of uses.sort((a, b) => a.at - b.at)) {
    const open = sessions.get(gadget);
    const isOver = !open || at > open.since + SESSION_DAYS * DAY || at > open.last + IDLE_DAYS * DAY;
    // Refreshes come a quarter of an hour apart, however often the device is taken up.
    if (!isOver && at < open.last + 14 * 60_000) continue;
    const session = isOver ? { id: uuid(number, ++opened) as SessionId, since: at, last: at } : { ...open, last: at };
    sessions.set(gadget, session);
    // Now and then an app asks for the desktop's page, or shows the login in a browser of its own.
    const device = likely(chance, 1 / 4000) ? `${gadget.name.split(' on ')[0]} on Linux` : gadget.name;
    const shape = `${shapeOf(gadget, at, spot)}${device === gadget.name ? '' : ' for desktops'}`;
    const kind = isOver ? 'login' : 'refresh';
    const knownDevice = isOver && known.has(gadget) && likely(chance, 0.85);
    known.add(gadget);
    activities.push({ ...activityAt(at, spot, { userId, sessionId: session.id, kind, device, shape }), knownDevice });
  }
  return activities;
}
