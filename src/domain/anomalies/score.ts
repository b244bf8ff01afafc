/** One use of a user, judged by what is known of that user, and added to it. */
import { type Activity, withSoundCoordinates } from './activity.js';
import { client } from './client.js';
import { device } from './device.js';
import { hosting } from './hosting.js';
import { learned, type Seen } from './learning.js';
import type { Novelty } from './model.js';
import { LEVELS } from './policy.js';
import { emptyProfile, faded, isForgotten, PROFILE_VERSION, type Profile } from './profile.js';
import { silence, unusualHour } from './times.js';
import { travel } from './travel.js';
import { whereabouts } from './whereabouts.js';

export type Signal =
  | `new_${Novelty}`
  | 'impossible_travel'
  | 'session_in_two_places'
  | 'new_device'
  | 'changed_device'
  | 'changed_client'
  | 'hosting_network'
  | 'unusual_hour'
  | 'long_silence'
  | 'user_elsewhere';

export interface Finding {
  signal: Signal;
  /** A power of ten: how many times likelier this is of a thief than of this user. */
  weight: number;
  /** In words and numbers: `Berlin to Sydney, 16,000 km, in 2 h 10 min: 7,400 km/h`. */
  why: string;
}

export interface Verdict {
  /** To be kept in place of the one before, unless the session is ended: a thief's habits are not the user's. */
  profile: Profile;
  /** The sum of all weights, also of those that speak for the user; at most `observe` in a user's first two weeks. */
  score: number;
  /** Whose doing it is: of this session, or of another that had come to a new place when the user was seen at an old one. */
  suspect: string;
  /** What speaks against the user, the heaviest first. */
  findings: Finding[];
}

interface Weighed {
  weight: number;
  /** In words, for those who ask: most are not asked. */
  why(): string;
}

interface Evidence {
  signal: Signal;
  of: Weighed;
}

/** Three times as likely: less is not worth telling. */
const WORTH_TELLING = 0.5;

/** A user has shown most places and devices after two weeks. Until then all is told, and nobody is accused. */
const LEARNING_MS = 14 * 86_400_000;
const MOST_WHILE_LEARNING = LEVELS.observe;

/** How long a session is news at a place. */
const NEWS_MS = 86_400_000;

/**
 * Nobody is in two places at once, and a thief may be in either. Where the move from another session is too fast, and that one
 * had just come to where the user never was, then what spoke against it then speaks against it again. But nobody is taken for
 * the user who is on another device or client than the user's: of him the thief's place may be the familiar one.
 */
function awayFrom({ where, move, device, client }: Seen, { at, sessionId }: Activity): Weighed | null {
  if (move === null || !move.tooFast || move.from.session === sessionId) return null;
  if (device.seen === 'new' || device.seen === 'changed' || client.seen === 'changed') return null;
  const { news } = move.from;
  if (news === null || Math.abs(at - news.at) > NEWS_MS || news.weight <= where.weight) return null;
  const why = () => 'a session that came to a place new to the user, while the user is in a familiar one';
  return { weight: news.weight, why };
}

function evidence(profile: Profile, activity: Activity, seen: Seen): Evidence[] {
  const { where, move, device, client } = seen;
  const away = awayFrom(seen, activity);
  const all: Evidence[] = [
    { signal: 'unusual_hour', of: unusualHour(profile, activity.at) },
    { signal: 'long_silence', of: silence(profile, activity.at) },
    { signal: device.seen === 'changed' ? 'changed_device' : 'new_device', of: device },
    { signal: 'changed_client', of: client },
    { signal: 'hosting_network', of: hosting(profile, where, move, activity) },
  ];
  if (away !== null) all.push({ signal: 'user_elsewhere', of: away });
  else if (where.seen !== null)
    all.push({ signal: where.seen === 'known' ? 'new_network' : `new_${where.seen}`, of: where });
  if (move !== null) all.push({ signal: move.atOnce ? 'session_in_two_places' : 'impossible_travel', of: move });
  return all;
}

function findingsOf(all: readonly Evidence[]): Finding[] {
  return all
    .filter(({ of }) => of.weight >= WORTH_TELLING)
    .map(({ signal, of }) => ({ signal, weight: Math.round(of.weight * 100) / 100, why: of.why() }))
    .filter(({ why }) => why !== '')
    .sort((a, b) => b.weight - a.weight);
}

/** `profile` is null at the first use ever, which has nothing to be held against. */
export function score(profile: Profile | null, given: Activity): Verdict {
  const activity = withSoundCoordinates(given);
  const nothing = { score: 0, findings: [], suspect: activity.sessionId };
  // Written by a newer release, while nodes are being replaced: neither judged by it nor overwritten.
  if (profile !== null && profile.version > PROFILE_VERSION) return { profile, ...nothing };
  // What has no version at all is no profile.
  const before = profile !== null && profile.version >= PROFILE_VERSION ? profile : emptyProfile(activity.at);
  const left = faded(before, activity.at);
  const isFirst = before !== profile || isForgotten(before, left);
  const known = isFirst ? emptyProfile(activity.at) : left;

  const move = travel(known, activity);
  const [where, onDevice] = [whereabouts(known, activity), device(known, activity)];
  const seen = { where, move, device: onDevice, client: client(known, activity) };
  const next = learned(known, activity, seen);
  if (isFirst) return { profile: next, ...nothing };

  const all = evidence(known, activity, seen);
  const isOther = all.some(({ signal }) => signal === 'user_elsewhere');
  const sum = all.reduce((before, { of }) => before + of.weight, 0);
  const isLearning = activity.at - known.since < LEARNING_MS;
  return {
    profile: next,
    score: isLearning ? Math.min(sum, MOST_WHILE_LEARNING) : sum,
    findings: findingsOf(all),
    suspect: isOther && move !== null ? move.from.session : activity.sessionId,
  };
}
