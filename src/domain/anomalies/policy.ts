/** What follows from a score. Each client has a policy, the most that may be done to a session without a person. */

/** From the mildest to the strongest; a client with one of them has all before it as well. */
export const policies = ['observe', 'flag', 'step_up', 'revoke'] as const;
export type Policy = (typeof policies)[number];

/**
 * From which score on. A score is a power of ten: how many times likelier what was seen is of a thief than of this user.
 * What each costs honest users is measured in docs/anomalies.md, on traffic that these were not chosen by.
 */
export const LEVELS: Record<Policy, number> = {
  /** Costs nobody anything: a line in the log, worth having when somebody asks later. */
  observe: 2,
  /** A person looks at it, so it must be rare: less than once in 1,000 weeks of a user. A new continent alone is a trip. */
  flag: 3.6,
  /** The user types a password. A new continent and no way to get there in time is enough. */
  step_up: 4,
  /** The user is logged out, and may be far from home: three things have to come together. */
  revoke: 5,
};

/** What to do about a score: the strongest that the policy allows and the score reaches, or nothing. */
export function actionFor(score: number, policy: Policy): Policy | null {
  const allowed = policies.slice(0, policies.indexOf(policy) + 1);
  return allowed.findLast((action) => score >= LEVELS[action]) ?? null;
}
