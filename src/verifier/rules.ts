/** The live revocations, and whether one of them concerns a token. */
import type { Revocation } from './feed.js';
import { HttpFailure } from './http.js';
import type { AccessTokenClaims } from './token.js';

/** About 130 bytes each, measured: some 260 MB. */
const MAX_RULES = 2_000_000;
/** Added to the life of a rule, for a clock here that is behind and would still accept the tokens. Seconds. */
const MARGIN_S = 300;
/** Rules looked at in one sweep of a map: a fraction of a millisecond. */
const SWEPT_AT_ONCE = 5_000;

/** There are more live revocations than are kept here. Forgetting some would let tokens pass: nothing passes instead. */
export class RulesFull extends HttpFailure {}

export interface Rules {
  readonly size: number;
  /** `now` in milliseconds of the monotonic clock. Throws RulesFull. */
  add(revocation: Revocation, now: number): void;
  revokes(claims: AccessTokenClaims): boolean;
  /** Forgets some of those that can concern no token any more; called again and again it forgets all of them. */
  sweep(now: number): void;
}

/** Instants that tokens must not be older than. It never moves backwards. Seconds. */
interface InstantRule {
  notBefore: number;
  forgetAt: number;
}

const NO_RULE: InstantRule = { notBefore: Number.NEGATIVE_INFINITY, forgetAt: Number.NEGATIVE_INFINITY };

const latest = (one: InstantRule, other: InstantRule): InstantRule => ({
  notBefore: Math.max(one.notBefore, other.notBefore),
  forgetAt: Math.max(one.forgetAt, other.forgetAt),
});

/** A map whose sweep goes on where the last one stopped: walking through all of it would hold everybody up. */
function sweepable<V>(forgetAtOf: (value: V) => number) {
  const map = new Map<string, V>();
  let walk = map.entries();
  return {
    map,
    sweep(now: number, atOnce: number): void {
      for (let i = 0; i < atOnce; i++) {
        const { value: entry } = walk.next();
        if (entry === undefined) {
          walk = map.entries();
          return;
        }
        if (forgetAtOf(entry[1]) <= now / 1000) map.delete(entry[0]);
      }
    },
  };
}

/**
 * How long a rule is kept is counted from when it was heard of, by the monotonic clock: no clock that is set, here or
 * there, makes it be forgotten too early.
 */
export function createRules(most = MAX_RULES): Rules {
  // Whole seconds until when a rule is kept: V8 keeps small integers in the map itself.
  const ids = { jti: sweepable<number>(Number), sid: sweepable<number>(Number) };
  const forgetAtOf = (rule: InstantRule) => rule.forgetAt;
  const instants = { sub: sweepable(forgetAtOf), client: sweepable(forgetAtOf) };
  const maps = [ids.jti, ids.sid, instants.sub, instants.client];
  let all = NO_RULE;

  const size = () => maps.reduce((sum, { map }) => sum + map.size, 0);

  function sweep(now: number, atOnce = SWEPT_AT_ONCE): void {
    for (const swept of maps) swept.sweep(now, atOnce);
    if (all.forgetAt <= now / 1000) all = NO_RULE;
  }

  function put<V>(map: Map<string, V>, key: string, value: V, now: number): void {
    const isNew = !map.has(key);
    if (isNew && size() >= most) sweep(now, Number.POSITIVE_INFINITY);
    if (isNew && size() >= most)
      throw new RulesFull(`the revocation feed: there are more than ${most} live revocations`);
    map.set(key, value);
  }

  return {
    get size() {
      return size();
    },
    add(revocation, now) {
      const forgetAt = Math.ceil(now / 1000 + Math.max(0, revocation.lifetime) + MARGIN_S);
      if (!('notBefore' in revocation)) {
        const { map } = ids[revocation.kind];
        put(map, revocation.value, Math.max(forgetAt, map.get(revocation.value) ?? 0), now);
        return;
      }
      const rule = { notBefore: revocation.notBefore, forgetAt };
      if (revocation.kind === 'all') {
        all = latest(all, rule);
        return;
      }
      const { map } = instants[revocation.kind];
      put(map, revocation.value, latest(rule, map.get(revocation.value) ?? NO_RULE), now);
    },
    revokes({ jti, sid, sub, client_id: client, iat }) {
      return (
        ids.jti.map.has(jti) ||
        (sid !== undefined && ids.sid.map.has(sid)) ||
        iat < all.notBefore ||
        iat < (instants.sub.map.get(sub) ?? NO_RULE).notBefore ||
        (client !== undefined && iat < (instants.client.map.get(client) ?? NO_RULE).notBefore)
      );
    },
    sweep,
  };
}
