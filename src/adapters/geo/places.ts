/** Places from mmdb files: one of places, and one of networks where the operator has it. */
import { fileURLToPath } from 'node:url';
import type { DatabaseNews, PlaceFiles } from '../../ports/places.js';
import { openDatabase } from './database.js';
import { isHosting } from './hosting.js';
import { networkIn, placeIn, placeNameIn } from './records.js';

/** Countries alone: who wants cities brings a database of their own. */
export const COUNTRY_DATABASE = fileURLToPath(
  import.meta.resolve('@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb'),
);

/** The files of the operator; null for what comes with the service. */
export interface PlacePaths {
  places: string | null;
  networks: string | null;
}

async function open(name: string, path: string) {
  const database = await openDatabase(path).catch((error: Error) => {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  });
  return { name, ...database };
}

/** Rejects with what is wrong with a file, and the variable that names it. */
export async function openPlaces(paths: PlacePaths): Promise<PlaceFiles> {
  const places =
    paths.places === null ? await open('the country database', COUNTRY_DATABASE) : await open('GEOIP_DB', paths.places);
  const networks = paths.networks === null ? null : await open('GEOIP_ASN_DB', paths.networks);
  const databases = networks === null ? [places] : [places, networks];
  return {
    placeOf: (ip) => placeNameIn(places.recordOf(ip)),
    locate(ip) {
      const place = placeIn(places.recordOf(ip));
      const network = networkIn(networks?.recordOf(ip));
      if (place === null && network === null) return null;
      const organisation = network?.organisation ?? null;
      return { place, asn: network?.asn ?? null, hosting: organisation === null ? null : isHosting(organisation) };
    },
    async lookAgain() {
      const looks = databases.map(async ({ name, lookAgain }) => ({ database: name, found: await lookAgain() }));
      return (await Promise.all(looks)).flatMap(({ database, found }): DatabaseNews[] => {
        if (found === null) return [];
        return [{ database, problem: found === 'replaced' ? null : found.problem }];
      });
    },
  };
}
