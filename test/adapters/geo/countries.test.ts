import t from 'tap';
import { cities } from '../../../bench/anomalies/cities.js';
import { countries } from '../../../src/adapters/geo/countries.js';
import { distanceKm } from '../../../src/domain/anomalies/geography.js';

t.test('cities are within the circles of their countries, and on their continents', async (t) => {
  for (const { name, country, continent, lat, lon } of cities) {
    const [ofTable, middle, meridian, radiusKm] = countries[country] ?? ['', 0, 0, 0];
    t.equal(ofTable, continent, name);
    const km = distanceKm({ lat, lon, radiusKm: 0 }, { lat: middle, lon: meridian, radiusKm });
    t.ok(km <= radiusKm, `${name} is ${Math.round(km)} km from the middle of ${country}`);
  }
});

t.test('all that have a code are there, each a circle on the globe', async (t) => {
  const all = Object.entries(countries);
  t.equal(all.length, 250, 'the 249 of ISO 3166-1, and Kosovo');
  for (const [code, [continent, lat, lon, radiusKm] = ['', 91, 181, 0]] of all) {
    t.match(code, /^[A-Z]{2}$/);
    t.match(continent, /^(AF|AN|AS|EU|NA|OC|SA)$/, code);
    t.ok(Math.abs(lat) <= 90 && Math.abs(lon) <= 180 && radiusKm >= 10 && radiusKm < 5000, code);
  }
});

t.test('circles are small enough to be told apart', async (t) => {
  const radius = (code: string) => countries[code]?.[3] ?? 0;
  for (const code of ['DE', 'FR', 'ES', 'GB', 'NL', 'PT']) t.ok(radius(code) < 800, `${code}: ${radius(code)} km`);
  t.ok(radius('US') < 2500, 'without Alaska and Hawaii');
});
