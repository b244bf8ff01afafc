/** revocations: rows that are added and, once expired, taken away; never changed. */
import { CLOCK_TOLERANCE_S } from '../../domain/access-token.js';
import type { Revocation, RevocationKind } from '../../domain/revocation.js';
import { instant } from '../../domain/types.js';
import type { RevocationStore } from '../../ports/revocation-store.js';
import { auditInsert, auditValues } from './audit.js';
import type { Database, Statement } from './database.js';

/** Verifiers' clocks may be behind by this much. Seconds. */
const TOLERANCE_S = 60;

/**
 * When the last access token that is out at `at` will have expired. A client's tokens may have been given a longer life
 * than it has now: the keys they were signed with remember. `ttl` is that of a client that is no longer there.
 */
const tokensEnd = (
  at: string,
  ttl = '0',
): string => `${at}::timestamptz + make_interval(secs => ${TOLERANCE_S} + greatest(${ttl},
  (SELECT coalesce(max(access_token_ttl), 0) FROM clients),
  (SELECT coalesce(max(longest_token_ttl), 0) FROM signing_keys WHERE state IN ('active', 'retiring'))))`;

/**
 * The rules for sessions that have been ended by another part of the same statement, which returns their `id`s. Ordered,
 * so that all of them are ended before the first rule takes the lock under which ids are drawn: two statements that end
 * the same sessions would otherwise wait for each other.
 */
export const sessionRevocations = (at: string, from: string): string =>
  `INSERT INTO revocations (kind, value, revoked_at, expires_at)
    SELECT 'sid', id::text, ${at}, ${tokensEnd(at)} FROM ${from} ORDER BY id`;

/**
 * Last in a transaction, for sessions that it has ended before: the lock under which ids are drawn is held until the
 * commit, by one at a time.
 */
export const revokeSessions: Statement = {
  name: 'revocation_of_sessions',
  text: sessionRevocations('$2', '(SELECT unnest($1::uuid[]) AS id) AS ended'),
};

/**
 * From when on tokens are good again: `at`, and the time for which the lock under which ids are drawn was waited for, and
 * then the next second, since an `iat` knows whole ones alone. Nodes whose clocks are ahead by the tolerance have issued
 * nothing later than that.
 */
const notBefore = (at: string, toleranceS: number): string =>
  `date_trunc('second', ${at}::timestamptz + (clock_timestamp() - now())) + make_interval(secs => ${1 + toleranceS})`;

/** Where nobody is left who could be let in again, the wait for a connection may be in it, too. Seconds. */
const GONE_S = 2 * CLOCK_TOLERANCE_S;

/**
 * For the owner of sessions that are ended or deleted, last in the same transaction: one rule, however many sessions there
 * are. A user who goes on being one is let in again at once: his sessions are ended each by itself as well, under a lock.
 */
export const ownerRevocation = (kind: 'sub' | 'client', isGone: boolean): Statement => ({
  name: `revocation_of_${kind}_${isGone ? 'gone' : 'here'}`,
  text: `WITH drawn AS MATERIALIZED (SELECT keyturn_revocation_id() AS id)
    INSERT INTO revocations (id, kind, value, not_before, revoked_at, expires_at)
    SELECT id, '${kind}', $1, ${notBefore('$2', isGone ? GONE_S : 0)}, $2,
      ${tokensEnd('$2', '$3::integer')} FROM drawn
    RETURNING not_before`,
});

/** Also the life of a session that is begun while the rule is made. */
const sessionsEnd = `greatest((SELECT max(expires_at) FROM sessions),
  $3::timestamptz + make_interval(secs => (SELECT max(absolute_ttl) FROM clients)))`;

/** A rule that ends sessions without touching their rows lasts as long as the last of these would have. */
const append: Statement = {
  name: 'revocation_append',
  text: `WITH drawn AS MATERIALIZED (SELECT keyturn_revocation_id() AS id), revoked AS (
      INSERT INTO revocations (id, kind, value, not_before, revoked_at, expires_at)
      SELECT id, $1, $2, CASE WHEN $1 IN ('jti', 'sid') THEN NULL ELSE ${notBefore('$3', CLOCK_TOLERANCE_S)} END, $3,
        CASE WHEN $1 IN ('client', 'all') THEN greatest(${tokensEnd('$3')}, ${sessionsEnd})
          ELSE ${tokensEnd('$3')} END
      FROM drawn RETURNING not_before
    ), audited AS (${auditInsert(4, 'FROM revoked')})
    SELECT not_before FROM revoked`,
};

/**
 * What has expired by the database's clock as well, give or take the TOLERANCE_S: a node whose clock is ahead would leave
 * out what the others need.
 */
const live = (at: string) => `expires_at > least(${at}::timestamptz, now() + make_interval(secs => ${TOLERANCE_S}))`;

const after: Statement = {
  name: 'revocation_after',
  text: `SELECT id::text, kind, value, not_before, revoked_at, expires_at FROM revocations
    WHERE id > $1 AND ${live('$2')} ORDER BY id LIMIT $3`,
};

/**
 * Where a reader of everything begins. Millions of expired rows may come first, for a while: without the sum the planner
 * would walk through them by id, where the few live ones are found by when they expire.
 */
const beforeFirst: Statement = {
  name: 'revocation_before_first',
  text: `SELECT (min(id + 0) - 1)::text AS id FROM revocations WHERE kind NOT IN ('client', 'all') AND ${live('$1')}`,
};

/** Rules for clients and for everybody live as long as sessions, and would be where everything begins. */
const wide: Statement = {
  name: 'revocation_wide',
  text: `SELECT id::text, kind, value, not_before, revoked_at, expires_at FROM revocations
    WHERE kind IN ('client', 'all') AND id <= $1 AND ${live('$2')} ORDER BY id`,
};

const last: Statement = { name: 'revocation_last', text: 'SELECT max(id)::text AS id FROM revocations' };

/** Of a session `s`: a rule for its client or for everybody that came after it began. */
export const endedByRule = `(SELECT max(r.revoked_at) FROM revocations r
    WHERE r.kind IN ('client', 'all') AND r.value IN ('', s.client_id) AND r.not_before > s.created_at)`;

interface Row {
  id: string;
  kind: RevocationKind;
  value: string;
  not_before: Date | null;
  revoked_at: Date;
  expires_at: Date;
}

const toDomain = (row: Row): Revocation => ({
  // Microseconds since the epoch: exact in a double until the year 2255.
  id: Number(row.id),
  kind: row.kind,
  value: row.value,
  notBefore: row.not_before && instant(row.not_before.getTime()),
  revokedAt: instant(row.revoked_at.getTime()),
  expiresAt: instant(row.expires_at.getTime()),
});

export const createRevocationStore = (database: Database): RevocationStore => ({
  async append({ kind, value }, event) {
    const values = [kind, value, new Date(event.at), ...auditValues(event)];
    const [row] = await database.query<{ not_before: Date | null }>(append, values);
    return row?.not_before ? instant(row.not_before.getTime()) : null;
  },
  async after(id, at, limit) {
    if (id > 0) return (await database.query<Row>(after, [id, new Date(at), limit])).map(toDomain);
    const [first] = await database.query<{ id: string | null }>(beforeFirst, [new Date(at)]);
    const from = first?.id ?? String(Number.MAX_SAFE_INTEGER);
    const early = await database.query<Row>(wide, [from, new Date(at)]);
    const rest = await database.query<Row>(after, [from, new Date(at), limit]);
    return [...early, ...rest].slice(0, Math.max(limit, early.length)).map(toDomain);
  },
  async last() {
    const [row] = await database.query<{ id: string | null }>(last, []);
    return Number(row?.id ?? 0);
  },
});
