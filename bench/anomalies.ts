/** How many thefts are seen, how soon, and how often an honest user is taken for a thief. */
import { LEVELS, type Policy, policies } from '../src/domain/anomalies/policy.js';
import { curve, type Line } from './anomalies/curve.js';
import { KINDS, type Kind } from './anomalies/thefts.js';
import { episodes, runTrial, type Theft, type Trial } from './anomalies/trial.js';
import { count, type Measurement, quantile } from './measurement.js';

/** Weights and levels were chosen on seeds 1 to 4; the report is of another. */
const REPORTED_SEED = 1618;
const MINUTES_BETWEEN = 15;

const share = (part: readonly unknown[], whole: readonly unknown[]): string =>
  whole.length === 0 ? 'none' : `${((100 * part.length) / whole.length).toFixed(1)} %`;
const percentOf = (part: number, whole: number) => `${((100 * part) / whole).toFixed(0)} %`;
const isFoundAtOnce = (threshold: number) => (theft: Theft) => (theft.scores[0] ?? 0) >= threshold;
const alarmsAt = (trial: Trial, threshold: number) =>
  (1000 * episodes(trial.honest, threshold).length) / trial.userWeeks;

/** Minutes after the theft at which it is known, by the thief's own uses or by the user's next; null where it never is. */
function minutesTo(threshold: number, { scores, givenAway }: Theft): number | null {
  const use = scores.findIndex((score) => score >= threshold);
  const byUser = givenAway.find(({ score }) => score >= threshold);
  const minutes = [use === -1 ? [] : [use * MINUTES_BETWEEN], byUser ? [byUser.minutes] : []].flat();
  return minutes.length === 0 ? null : Math.min(...minutes);
}

const foundOf = (thefts: readonly Theft[]) =>
  `${share(thefts.filter(isFoundAtOnce(LEVELS.flag)), thefts)} of ${count(thefts.length)}`;

const ofFirst = ({ honest, thefts }: Trial, users: number) => ({
  honest: honest.filter(({ user }) => user < users),
  thefts: thefts.filter(({ user }) => user < users),
});

function detection(thefts: readonly Theft[]): string {
  const found = thefts.map((theft) => minutesTo(LEVELS.flag, theft)).filter((minutes) => minutes !== null);
  const later = found.filter((minutes) => minutes > 0).sort((a, b) => a - b);
  const inTheHour = found.filter((minutes) => minutes <= 60);
  const median = later.length === 0 ? '' : ` (these after ${(quantile(later, 0.5) / 60).toFixed(1)} h, p50)`;
  const others = (['step_up', 'revoke'] as const).map(
    (policy) => `\`${policy}\` ${share(thefts.filter(isFoundAtOnce(LEVELS[policy])), thefts)}`,
  );
  const atOnce = share(thefts.filter(isFoundAtOnce(LEVELS.flag)), thefts);
  return `**${atOnce}** at the first use, ${share(inTheHour, thefts)} in the hour, ${share(found, thefts)} in a day${median}; ${others.join(', ')}; of ${count(thefts.length)}`;
}

function falseAlarms(trial: Trial): string {
  return policies.map((policy: Policy) => `\`${policy}\` ${alarmsAt(trial, LEVELS[policy]).toFixed(2)}`).join(', ');
}

/** Between the 95 % that a count of rare events allows, by Wilson and Hilferty's approximation of the chi-square quantile. */
function range(events: number, trial: Trial): string {
  const bound = (n: number, z: number) => (n === 0 ? 0 : n * (1 - 1 / (9 * n) + z / (3 * Math.sqrt(n))) ** 3);
  const perThousand = (n: number) => ((1000 * n) / trial.userWeeks).toFixed(2);
  return `${count(events)} in ${count(trial.userWeeks)} user-weeks: between ${perThousand(bound(events, -1.96))} and ${perThousand(bound(events + 1, 1.96))} with 95 % confidence`;
}

function linesOf(trial: Trial): Line[] {
  const thresholds = Array.from({ length: 71 }, (_, i) => 0.5 + i * 0.1);
  const alarms = thresholds.map((threshold) => alarmsAt(trial, threshold));
  return KINDS.map((name: Kind) => {
    const thefts = trial.thefts.filter(({ kind }) => kind === name);
    const points = thresholds.map((threshold, i) => ({
      alarms: alarms[i] ?? 0,
      found: thefts.filter(isFoundAtOnce(threshold)).length / Math.max(thefts.length, 1),
    }));
    return { name, points };
  });
}

/** What the figures hide: what the thief copied, and how long the user had been away. */
function byCircumstance(far: readonly Theft[]): Record<string, string> {
  const all = far.filter(({ copied }) => copied.userAgent && copied.shape);
  return {
    'another continent, with a user agent of the thief’s own': foundOf(far.filter(({ copied }) => !copied.userAgent)),
    '… with the user’s own, and other headers beside it': foundOf(
      far.filter(({ copied }) => copied.userAgent && !copied.shape),
    ),
    '… with all headers of the user’s own, seen in the last 6 hours': foundOf(
      all.filter(({ quietHours }) => quietHours < 6),
    ),
    '… with all headers of the user’s own, not seen for longer': foundOf(
      all.filter(({ quietHours }) => quietHours >= 6),
    ),
  };
}

/** Shares of thieves that nobody knows: of those who copy the user agent, of these who copy all, of those in data centres. */
interface Guess {
  userAgent: number;
  shape: number;
  hosted: number;
}
const GUESS: Guess = { userAgent: 0.5, shape: 0.5, hosted: 0.5 };

/** What would be found with other shares: each kind of thief is found as often as in the trial, and there are more or fewer. */
function foundIf(far: readonly Theft[], changes: Partial<Guess>): string {
  const { userAgent, shape, hosted } = { ...GUESS, ...changes };
  const shares = { none: 1 - userAgent, userAgent: userAgent * (1 - shape), all: userAgent * shape };
  const copiedOf = ({ copied }: Theft) => (copied.userAgent ? (copied.shape ? 'all' : 'userAgent') : 'none');
  let found = 0;
  for (const copied of ['none', 'userAgent', 'all'] as const) {
    for (const isHosted of [true, false]) {
      const thefts = far.filter((theft) => copiedOf(theft) === copied && theft.hosted === isHosted);
      const part = thefts.filter(isFoundAtOnce(LEVELS.flag)).length / Math.max(thefts.length, 1);
      found += part * shares[copied] * (isHosted ? hosted : 1 - hosted);
    }
  }
  return `${(100 * found).toFixed(1)} %`;
}

const SHARES = [0, 0.25, 0.5, 0.75, 1];
function byGuess(far: readonly Theft[]): Record<string, string> {
  const row = (of: (share: number) => Partial<Guess>) => SHARES.map((share) => foundIf(far, of(share))).join(', ');
  const shares = `${SHARES.map((share) => share * 100).join(', ')} %`;
  return {
    [`another continent, if ${shares} of the thieves copy the user agent`]: row((userAgent) => ({ userAgent })),
    [`… if ${shares} of those copy all other headers as well`]: row((shape) => ({ shape })),
    [`… if ${shares} of the thieves are on rented servers`]: row((hosted) => ({ hosted })),
    '… if all copy all headers, none on rented servers': foundIf(far, { userAgent: 1, shape: 1, hosted: 0 }),
  };
}

const farIn = (trial: Trial) => trial.thefts.filter(({ kind }) => kind === 'another continent');

export const anomalies: Measurement = {
  about: 'thefts found, and false alarms, in the traffic of invented users',
  options: { users: 750, weeks: 26, seed: REPORTED_SEED },
  document: 'anomalies.md',
  async measure(_scope, { users = 0, weeks = 0, seed = 0 }, say, draw) {
    const trial = runTrial({ seed, users, weeks }, say);
    // The same users once more, or the first of them.
    const fewer = { seed, users: Math.ceil(users / 5), weeks };
    const countries = runTrial({ ...fewer, users: Math.ceil(users / 3), countriesOnly: true }, say);
    const whole = runTrial({ ...fewer, repeats: true }, say);
    const skipped = { ...trial, userWeeks: whole.userWeeks, ...ofFirst(trial, fewer.users) };
    const marks = policies.map((name) => ({ name, alarms: alarmsAt(trial, LEVELS[name]) }));
    const [line] = linesOf(countries);
    const ofCountries = line ? [{ ...line, name: 'another continent, countries alone', dashed: true }] : [];
    draw('anomalies.svg', curve([...linesOf(trial), ...ofCountries], marks));

    const ofKind = (of: Trial, kind: Kind) => detection(of.thefts.filter((theft) => theft.kind === kind));
    const bytes = [...trial.bytes].sort((a, b) => a - b);
    const far = farIn(trial);
    const weakest = far.map(({ scores }) => scores[0] ?? 0).sort((a, b) => a - b);
    const forAlmostAll = quantile(weakest, 0.05);
    const brief = (of: Trial) => `false alarms ${falseAlarms(of)}; thefts from another continent ${foundOf(farIn(of))}`;
    return {
      seed: String(seed),
      'honest use': `${count(users)} users for ${count(weeks)} weeks, ${count(trial.uses)} logins and refreshes, of which ${percentOf(trial.scored, trial.uses)} were scored`,
      'false alarms per 1,000 user-weeks': falseAlarms(trial),
      'false alarms at `flag`': range(episodes(trial.honest, LEVELS.flag).length, trial),
      ...Object.fromEntries(KINDS.map((kind) => [`thefts from ${kind}`, ofKind(trial, kind)])),
      ...byCircumstance(far),
      ...byGuess(far),
      '95 % of the thefts from another continent at the first use': `take a threshold of ${forAlmostAll.toFixed(2)}, and cost ${alarmsAt(trial, forAlmostAll).toFixed(2)} false alarms per 1,000 user-weeks`,
      'with countries alone: false alarms': falseAlarms(countries),
      'with countries alone: thefts from another continent': ofKind(countries, 'another continent'),
      [`the first ${count(fewer.users)} users, repeats skipped`]: brief(skipped),
      'the same, each refresh scored': brief(whole),
      'one score': `${trial.micros.toFixed(0)} µs; profiles of ${count(quantile(bytes, 0.5))} bytes, the largest ${count(bytes.at(-1) ?? 0)}`,
    };
  },
};
