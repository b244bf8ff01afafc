/** Networks of servers and VPN exits: some users are in a new one every week, and most are never. */
import type { Activity } from './activity.js';
import { HOSTING, userRate, weigh } from './model.js';
import type { Profile } from './profile.js';
import type { Move } from './travel.js';
import type { Whereabouts } from './whereabouts.js';
import { percent } from './words.js';

export interface Hosting {
  weight: number;
  why(): string;
}

/** What is new is weighed by itself: this is about what kind of network it is, among the new ones of this user. */
export function hosting({ firsts }: Profile, { seen }: Whereabouts, move: Move | null, activity: Activity): Hosting {
  if (activity.hosting === null || seen === null || seen === 'known') return { weight: 0, why: () => '' };
  const odds = HOSTING[move?.tooFast ? 'tooFast' : 'inTime'];
  const novelties = firsts.continent + firsts.country + firsts.area + firsts.network;
  const share = () => percent(userRate(odds, firsts.hosting, novelties));
  return {
    weight: weigh(odds, activity.hosting, firsts.hosting, novelties),
    why: () =>
      `${activity.network} is of a provider of servers or VPNs, as are ${share()} of the networks that this user comes to`,
  };
}
