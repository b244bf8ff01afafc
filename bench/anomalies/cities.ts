/** A small world: where people live, where they go, and what the sun says there. Offsets from UTC are those of winter. */

export interface City {
  name: string;
  country: string;
  continent: string;
  lat: number;
  lon: number;
  /** Hours ahead of UTC. */
  offset: number;
  /** How many of the users live there, against the other cities. */
  users: number;
}

const rows: [string, string, string, number, number, number, number][] = [
  ['Berlin', 'DE', 'EU', 52.52, 13.41, 1, 8],
  ['Hamburg', 'DE', 'EU', 53.55, 9.99, 1, 5],
  ['Munich', 'DE', 'EU', 48.14, 11.58, 1, 6],
  ['Cologne', 'DE', 'EU', 50.94, 6.96, 1, 5],
  ['Frankfurt', 'DE', 'EU', 50.11, 8.68, 1, 4],
  ['Leipzig', 'DE', 'EU', 51.34, 12.37, 1, 3],
  ['Vienna', 'AT', 'EU', 48.21, 16.37, 1, 3],
  ['Graz', 'AT', 'EU', 47.07, 15.44, 1, 1],
  ['Zurich', 'CH', 'EU', 47.37, 8.54, 1, 3],
  ['Geneva', 'CH', 'EU', 46.2, 6.14, 1, 1],
  ['Paris', 'FR', 'EU', 48.86, 2.35, 1, 6],
  ['Lyon', 'FR', 'EU', 45.76, 4.84, 1, 2],
  ['Marseille', 'FR', 'EU', 43.3, 5.37, 1, 2],
  ['London', 'GB', 'EU', 51.51, -0.13, 0, 7],
  ['Manchester', 'GB', 'EU', 53.48, -2.24, 0, 3],
  ['Edinburgh', 'GB', 'EU', 55.95, -3.19, 0, 2],
  ['Amsterdam', 'NL', 'EU', 52.37, 4.9, 1, 3],
  ['Eindhoven', 'NL', 'EU', 51.44, 5.48, 1, 1],
  ['Madrid', 'ES', 'EU', 40.42, -3.7, 1, 3],
  ['Barcelona', 'ES', 'EU', 41.39, 2.17, 1, 2],
  ['Palma', 'ES', 'EU', 39.57, 2.65, 1, 0.5],
  ['Rome', 'IT', 'EU', 41.9, 12.5, 1, 2],
  ['Milan', 'IT', 'EU', 45.46, 9.19, 1, 2],
  ['Athens', 'GR', 'EU', 37.98, 23.73, 2, 1],
  ['Heraklion', 'GR', 'EU', 35.34, 25.13, 2, 0.3],
  ['Warsaw', 'PL', 'EU', 52.23, 21.01, 1, 3],
  ['Krakow', 'PL', 'EU', 50.06, 19.94, 1, 2],
  ['Stockholm', 'SE', 'EU', 59.33, 18.07, 1, 2],
  ['Gothenburg', 'SE', 'EU', 57.71, 11.97, 1, 1],
  ['Lisbon', 'PT', 'EU', 38.72, -9.14, 0, 1],
  ['Kyiv', 'UA', 'EU', 50.45, 30.52, 2, 1],
  ['Istanbul', 'TR', 'AS', 41.01, 28.98, 3, 2],
  ['Antalya', 'TR', 'AS', 36.9, 30.7, 3, 0.5],
  ['Dubai', 'AE', 'AS', 25.2, 55.27, 4, 1],
  ['Mumbai', 'IN', 'AS', 19.08, 72.88, 5.5, 4],
  ['Delhi', 'IN', 'AS', 28.61, 77.21, 5.5, 4],
  ['Bengaluru', 'IN', 'AS', 12.97, 77.59, 5.5, 3],
  ['Bangkok', 'TH', 'AS', 13.76, 100.5, 7, 1],
  ['Phuket', 'TH', 'AS', 7.88, 98.39, 7, 0.3],
  ['Singapore', 'SG', 'AS', 1.35, 103.82, 8, 2],
  ['Tokyo', 'JP', 'AS', 35.68, 139.69, 9, 3],
  ['Osaka', 'JP', 'AS', 34.69, 135.5, 9, 2],
  ['New York', 'US', 'NA', 40.71, -74.01, -5, 6],
  ['Boston', 'US', 'NA', 42.36, -71.06, -5, 2],
  ['Chicago', 'US', 'NA', 41.88, -87.63, -6, 4],
  ['Dallas', 'US', 'NA', 32.78, -96.8, -6, 3],
  ['Denver', 'US', 'NA', 39.74, -104.99, -7, 2],
  ['Los Angeles', 'US', 'NA', 34.05, -118.24, -8, 5],
  ['Seattle', 'US', 'NA', 47.61, -122.33, -8, 2],
  ['Toronto', 'CA', 'NA', 43.65, -79.38, -5, 2],
  ['Vancouver', 'CA', 'NA', 49.28, -123.12, -8, 1],
  ['Mexico City', 'MX', 'NA', 19.43, -99.13, -6, 2],
  ['Cancun', 'MX', 'NA', 21.16, -86.85, -5, 0.3],
  ['Sao Paulo', 'BR', 'SA', -23.55, -46.63, -3, 4],
  ['Rio de Janeiro', 'BR', 'SA', -22.91, -43.17, -3, 2],
  ['Buenos Aires', 'AR', 'SA', -34.6, -58.38, -3, 1],
  ['Cordoba', 'AR', 'SA', -31.42, -64.18, -3, 0.5],
  ['Lagos', 'NG', 'AF', 6.52, 3.38, 1, 2],
  ['Abuja', 'NG', 'AF', 9.06, 7.5, 1, 1],
  ['Cairo', 'EG', 'AF', 30.04, 31.24, 2, 1],
  ['Johannesburg', 'ZA', 'AF', -26.2, 28.05, 2, 1],
  ['Cape Town', 'ZA', 'AF', -33.92, 18.42, 2, 1],
  ['Sydney', 'AU', 'OC', -33.87, 151.21, 10, 2],
  ['Melbourne', 'AU', 'OC', -37.81, 144.96, 10, 2],
  ['Auckland', 'NZ', 'OC', -36.85, 174.76, 12, 1],
  ['Wellington', 'NZ', 'OC', -41.29, 174.78, 12, 0.5],
];

export const cities: readonly City[] = rows.map(([name, country, continent, lat, lon, offset, users]) => ({
  name,
  country,
  continent,
  lat,
  lon,
  offset,
  users,
}));

export const elsewhere = {
  sameCountry: (home: City) => cities.filter((city) => city.country === home.country && city !== home),
  sameContinent: (home: City) =>
    cities.filter(({ continent, country }) => continent === home.continent && country !== home.country),
  otherContinent: (home: City) => cities.filter(({ continent }) => continent !== home.continent),
};
