/**
 * How much likelier a thief is than the user, by what is seen: the likelihood ratio of Freeman, Jain, Dürmuth, Biggio and
 * Giacinto, "Who Are You? A Statistical Approach to Measuring User Authenticity", NDSS 2016,
 *
 *     S(x, u) = Π p(xₖ | attack) / p(xₖ | u)
 *
 * over features xₖ that are taken for independent, each smoothed for what this user has never shown. docs/anomalies.md says
 * where this differs from the paper, and why. Weights are powers of ten: 2 is 100 times as likely.
 */

/** What a feature is of an attacker, and of the user before anything is known of this one. */
interface Odds {
  /** p(x | attack) */
  attack: number;
  /** p(x | u) of the users at large. */
  users: number;
  /** How much users differ in it: the shape of the gamma distribution of their rates. Small where few do it, often. */
  shape: number;
}

/**
 * Where somebody is, one of five. Of attackers there is no record, so these are judgements: half of them are on another
 * continent, one in fifty is where the user is. Of users: one visit in 2,500 (two or three years) is the first to a
 * continent, one in 500 (twice a year) to a country, one in 100 to another area, one in 30 to another network.
 */
export const WHERE = {
  continent: { attack: 0.5, users: 0.0004, shape: 0.3 },
  country: { attack: 0.25, users: 0.002, shape: 0.3 },
  area: { attack: 0.15, users: 0.01, shape: 0.5 },
  network: { attack: 0.08, users: 0.03, shape: 0.5 },
} satisfies Record<string, Odds>;
export type Novelty = keyof typeof WHERE;

/** p(network | attack) of a network that the user has: attackers have theirs from among all there are. */
export const SAME_NETWORK = 0.02;

/**
 * Of moves to another area, how many are too fast. A thief is as far away as ever while the user is awake. Of users it is
 * carriers, VPNs, devices left on at home and errors of the database, and seldom over a border.
 */
export const TOO_FAST = {
  country: { attack: 0.7, users: 0.3, shape: 0.5 },
  continent: { attack: 0.7, users: 0.05, shape: 0.3 },
  world: { attack: 0.7, users: 0.03, shape: 0.3 },
} satisfies Record<string, Odds>;
export type Reach = keyof typeof TOO_FAST;

/** Half of the thieves do not care to copy the user agent. A session is one device: what changes it is "desktop site". */
export const DEVICE_CHANGED: Odds = { attack: 0.5, users: 0.001, shape: 0.3 };
export const NEW_DEVICE: Odds = { attack: 0.6, users: 0.1, shape: 0.5 };
/**
 * The user agent is the session's and the other headers are not. Half of those who copy the one do not copy the others. Of
 * users it is updates of the browser or the app, and gateways that rewrite headers: three times a year.
 */
export const CLIENT_CHANGED: Odds = { attack: 0.5, users: 0.005, shape: 0.3 };
/**
 * Of the networks that somebody comes to for the first time, how many are of hosters. Half of the thieves rent a server, and
 * some of these are not known as such. A traveller arrives in a hotel: hosters are for the few with a VPN, or a company's
 * gateway. But who is there faster than any airliner is on a VPN most of the time, or else a thief.
 */
export const HOSTING = {
  inTime: { attack: 0.4, users: 0.05, shape: 0.5 },
  tooFast: { attack: 0.4, users: 0.6, shape: 5 },
} satisfies Record<string, Odds>;
/** A device token is not what a password thief has. */
export const KNOWN_DEVICE = { attack: 0.02, users: 0.8 };
/** One theft in a hundred is of an account that is asleep: old lists of passwords are full of them. */
export const SILENCE: Odds = { attack: 0.01, users: 0.001, shape: 0.3 };

/**
 * p(x | u) of something that this user did `times` in `trials`: the mean of the gamma distribution after what was seen, which
 * is the smoothing for unseen values, towards what is known of all users instead of towards one count for each unseen
 * value.
 */
export const userRate = ({ users, shape }: Odds, times: number, trials: number): number =>
  Math.min((times + shape) / (trials + shape / users), 0.99);

/** The weight of what happened, or of its absence. */
export function weigh(odds: Odds, happened: boolean, times: number, trials: number): number {
  const rate = userRate(odds, times, trials);
  return happened ? Math.log10(odds.attack / rate) : Math.log10((1 - odds.attack) / (1 - rate));
}

export const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);
