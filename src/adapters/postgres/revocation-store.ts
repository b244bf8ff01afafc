/** revocations: rows that are added and, once expired, taken away; never changed. */
import type { Revocation, RevocationKind } from '../../domain/revocation.js';
import { instant } from '../../domain/types.js';
import type { RevocationStore } from '../../ports/revocation-store.js';
import { auditInsert, auditValues } from './audit.js';
import type { Database, Statement } from './database.js';

/** Verifiers' clocks may be behind by this much. Seconds. */
const TOLERANCE_S = 60;

/**
 * When the last access token that is out at `at` will have expired. A client's tokens may have been given a longer life
 * than it has now: the keys they were signed with remember.
 */
const tokensEnd = (at: string): string => `${at}::timestamptz + make_interval(secs => ${TOLERANCE_S} + greatest(
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

/** For the owner of sessions that are deleted, in the same transaction: one rule, however many sessions there are. */
export const ownerRevocation = (kind: 'sub' | 'client'): Statement => ({
  name: `revocation_of_${kind}`,
  text: `INSERT INTO revocations (kind, value, not_before, revoked_at, expires_at)
    SELECT '${kind}', $1, date_trunc('second', $2::timestamptz) + interval '1 second', $2, ${tokensEnd('$2')}`,
});

/** A rule that ends sessions without touching their rows lasts as long as the last of these would have. */
const append: Statement = {
  name: 'revocation_append',
  text: `WITH revoked AS (
      INSERT INTO revocations (kind, value, not_before, revoked_at, expires_at)
      SELECT $1, $2, $3, $4, CASE WHEN $1 IN ('client', 'all')
        THEN greatest(${tokensEnd('$4')}, (SELECT max(expires_at) FROM sessions)) ELSE ${tokensEnd('$4')} END
      RETURNING id
    ), audited AS (${auditInsert(5, 'FROM revoked')})
    SELECT id FROM revoked`,
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
  text: `SELECT (min(id + 0) - 1)::text AS id FROM revocations WHERE ${live('$1')}`,
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
  async append({ kind, value, notBefore, revokedAt }, event) {
    await database.query(append, [
      kind,
      value,
      notBefore && new Date(notBefore),
      new Date(revokedAt),
      ...auditValues(event),
    ]);
  },
  async after(id, at, limit) {
    let from: number | string = id;
    if (id === 0) {
      const [first] = await database.query<{ id: string | null }>(beforeFirst, [new Date(at)]);
      if (typeof first?.id !== 'string') return [];
      from = first.id;
    }
    return (await database.query<Row>(after, [from, new Date(at), limit])).map(toDomain);
  },
  async last() {
    const [row] = await database.query<{ id: string | null }>(last, []);
    return Number(row?.id ?? 0);
  },
});
