/** Thieves: what they hold, where they sit, and what they copy. Each uses what was stolen for an hour. */
import type { Activity } from '../../src/domain/anomalies/activity.js';
import type { SessionId } from '../../src/domain/types.js';
import type { Chance } from '../../test/support/seeded.js';
import { type City, elsewhere } from './cities.js';
import { anyDevice, likely, type Person, type Spot, spotIn } from './people.js';
import { activityAt, BEGIN } from './traffic.js';

export const KINDS = [
  'another continent',
  'another continent, by password',
  'another country of the continent',
  'the same country',
  'the same city',
  'the same network',
] as const;
export type Kind = (typeof KINDS)[number];

const MINUTE = 60_000;

function spotOf(chance: Chance, { home }: Person, kind: Kind): Spot | null {
  const from = (cities: readonly City[]) => {
    const hosting = likely(chance, 0.5) ? 'hosting' : 'home';
    return cities.length === 0 ? null : spotIn(chance, chance.pick(cities), hosting);
  };
  switch (kind) {
    case 'another continent':
    case 'another continent, by password':
      return from(elsewhere.otherContinent(home.city));
    case 'another country of the continent':
      return from(elsewhere.sameContinent(home.city));
    case 'the same country':
      return from(elsewhere.sameCountry(home.city));
    case 'the same city':
      return spotIn(chance, home.city, 'home');
    case 'the same network':
      return home;
  }
}

export interface Stolen {
  uses: Activity[];
  /** From a rented server. */
  hosted: boolean;
}

/**
 * What a thief does from `at` on, who has the refresh token of `victim`'s session, or the password. Null where there is no
 * such place: some countries have one city. Half of the thieves copy the user agent, and half of these all else that the
 * client sends.
 */
export function theft(chance: Chance, person: Person, victim: Activity, kind: Kind, at: number): Stolen | null {
  const spot = spotOf(chance, person, kind);
  if (spot === null) return null;
  const byPassword = kind.endsWith('by password');
  const device = likely(chance, 0.5) ? victim.device : anyDevice(chance);
  const shape = device === victim.device && likely(chance, 0.5) ? victim.shape : 'of the thief';
  const sessionId = byPassword ? ('01900000-0000-7000-8000-ffffffffffff' as SessionId) : victim.sessionId;
  const about = { userId: victim.userId, sessionId, device, shape };
  const uses: Activity[] = [];
  for (let later = 0; later <= 60 * MINUTE; later += 15 * MINUTE) {
    const isLogin = byPassword && later === 0;
    uses.push(activityAt(at - BEGIN + later, spot, { ...about, kind: isLogin ? 'login' : 'refresh' }));
  }
  return { uses, hosted: spot.network.includes('hosting') };
}
