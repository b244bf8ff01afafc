/**
 * The rotation of a refresh token, which is all that a refresh does to the database: of one session, or of several that are
 * asked for at the same time.
 */
import type { TokenSource } from '../../domain/types.js';
import type { RotationAttempt, SessionStore } from '../../ports/session-store.js';
import { AUDIT_VALUES, auditInsert, auditValues } from './audit.js';
import { DatabaseFault } from './availability.js';
import type { Database, Statement } from './database.js';
import { endedByRule } from './revocation-store.js';
import { type RotatedRow, rotated, toTokenSource } from './session-rows.js';
import { together } from './together.js';

interface Input {
  type: string;
  of(attempt: RotationAttempt): unknown;
}

/** What an attempt brings. */
const inputs = {
  id: { type: 'uuid', of: ({ sessionId }) => sessionId },
  generation: { type: 'integer', of: ({ generation }) => generation },
  secret_hash: { type: 'bytea', of: ({ secretHash }) => secretHash },
  signed: { type: 'bytea', of: ({ signed }) => signed },
  tag_hash: { type: 'bytea', of: ({ tagHash }) => tagHash },
  next_hash: { type: 'bytea', of: ({ nextHash }) => nextHash },
  salt: { type: 'bytea', of: ({ salt }) => salt },
  key: { type: 'text', of: ({ key }) => key },
  millis: { type: 'bigint', of: ({ at }) => at },
  at: { type: 'timestamptz', of: ({ at }) => new Date(at).toISOString() },
  ip: { type: 'text', of: ({ caller }) => caller.ip },
  user_agent: { type: 'text', of: ({ caller }) => caller.userAgent },
  client_id: { type: 'text', of: ({ clientId }) => clientId },
  place: { type: 'text', of: ({ caller }) => caller.place },
  proved: { type: 'timestamptz', of: ({ proved }) => proved && new Date(proved).toISOString() },
} satisfies Record<string, Input>;

type Inputs = Record<keyof typeof inputs, string>;

const all: readonly [string, Input][] = Object.entries(inputs);
const namesOfAll = Object.keys(inputs).join(', ');
const each = (write: (name: string, input: Input, i: number) => string) =>
  Object.fromEntries(all.map(([name, input], i) => [name, write(name, input, i)])) as Inputs;

const valuesOf = (attempt: RotationAttempt): unknown[] => all.map(([, { of }]) => of(attempt));
/** Those of the attempt with this number. */
const parameters = (n: number): Inputs => each((_, { type }, i) => `$${n * all.length + i + 1}::${type}`);

/**
 * The whole transaction of a refresh, in one round trip. Whoever comes second waits for the first one's commit, sees
 * that the generation has moved, and changes nothing. The tag is compared by its hash, so that how long it takes tells
 * nothing of it. `rotations - 4` takes away the fifth entry: the row stays as large as it is. A place goes with its
 * address: an old one never stands beside a new address. A step-up that is pending is passed by whoever gave the password
 * for that very one, and by nobody else; the row is looked at again after a wait for whoever has asked for it just now.
 */
const updateOf = (a: Inputs, from: string): string => `UPDATE sessions s SET
      generation = s.generation + 1,
      previous_hash = s.current_hash,
      current_hash = ${a.next_hash},
      rotation_salt = ${a.salt},
      rotations = (jsonb_build_array(jsonb_build_object('at', ${a.millis}, 'key', ${a.key})) || s.rotations) - 4,
      idle_expires_at = least(${a.at} + make_interval(secs => c.idle_ttl), s.expires_at),
      last_seen_at = greatest(${a.at}, s.last_seen_at),
      ip = coalesce(${a.ip}, s.ip),
      place = CASE WHEN ${a.ip} IS NULL THEN s.place ELSE ${a.place} END,
      user_agent = coalesce(${a.user_agent}, s.user_agent),
      step_up_at = NULL
    FROM ${from}
    WHERE s.id = ${a.id} AND s.generation = ${a.generation} AND s.current_hash = ${a.secret_hash}
      AND sha256(substring(keyturn_hmac_sha256(s.family_key, ${a.signed}) FOR 16)) = ${a.tag_hash}
      AND s.revoked_at IS NULL AND s.idle_expires_at > ${a.at} AND s.expires_at > ${a.at} AND ${endedByRule} IS NULL
      AND (${a.key} IS NULL OR s.rotations -> 0 ->> 'key' IS DISTINCT FROM ${a.key})
      AND (${a.client_id} IS NULL OR s.client_id = ${a.client_id})
      AND s.step_up_at IS NOT DISTINCT FROM ${a.proved}
      AND u.id = s.user_id AND u.disabled_at IS NULL
      AND c.client_id = s.client_id AND c.required_roles <@ u.roles`;

/** Of one session, whose row is waited for. */
export const rotate: Statement = {
  name: 'session_rotate',
  text: `${updateOf(parameters(0), 'users u, clients c')} RETURNING ${rotated}`,
};

const ofTheSession = { actor: `'user:' || user_id`, user_id: 'user_id', client_id: 'client_id' };

/** The same with so many audit events: whose session it was is known when the row has been found. */
function rotateAudited(events: number): Statement {
  const inserts = Array.from({ length: events }, (_, i) => {
    const first = all.length + 1 + i * AUDIT_VALUES;
    return `audited_${i} AS (${auditInsert(first, 'FROM rotated', ofTheSession)})`;
  });
  return {
    name: `session_rotate_audited_${events}`,
    text: `WITH rotated AS (${rotate.text}), ${inserts.join(', ')} SELECT * FROM rotated`,
  };
}
const rotateWith = [rotate, rotateAudited(1), rotateAudited(2)];

/**
 * Of several, in one transaction: one plan to start, one commit to write to the disk. A row that somebody holds is passed
 * over, so that nobody waits for what another one waits for, and no two of these for each other. Only the right token
 * locks a row.
 *
 * Plans outlive the size that a table had when they were made. A lateral query looks each row up by itself, where a join
 * would read a small table as a whole, and still when it has a million rows. Its condition once more tells the planner that
 * few rows come of it, so that the joins that follow are made in the same way.
 */
function rotateSeveral(sessions: number): Statement {
  const rows = Array.from({ length: sessions }, (_, n) => `(${n}, ${Object.values(parameters(n)).join(', ')})`);
  const columns = each((name) => `a.${name}`);
  return {
    name: `session_rotate_${sessions}`,
    text: `WITH free AS (
      SELECT a.* FROM (VALUES ${rows.join(', ')}) a (n, ${namesOfAll}), LATERAL (
        SELECT s.current_hash FROM sessions s
        WHERE s.id = a.id AND s.generation = a.generation AND s.current_hash = a.secret_hash
        FOR NO KEY UPDATE SKIP LOCKED
      ) held
      WHERE held.current_hash = a.secret_hash
    ) ${updateOf(columns, 'free a, users u, clients c')} RETURNING a.n, ${rotated}`,
  };
}

/** Each is prepared on each connection: so only these sizes, the largest that is filled. */
const several = new Map([16, 8, 4, 2].map((sessions) => [sessions, rotateSeveral(sessions)]));
const sizeFor = (waiting: number): number => [...several.keys()].find((size) => size <= waiting) ?? 1;
/** While one is on its way, the database has another one to do. */
const AT_ONCE = 2;

export interface Rotation extends Pick<SessionStore, 'rotate'> {
  /** Callers that wait for the database along with another one, which alone the pool of connections knows of. */
  late(): number;
}

export function createRotation(database: Database): Rotation {
  async function rotateOne(attempt: RotationAttempt): Promise<TokenSource | null> {
    const statement = rotateWith[attempt.audits.length];
    if (statement === undefined) throw new Error('a rotation is told of by two events at most');
    const values = [...valuesOf(attempt), ...attempt.audits.flatMap(auditValues)];
    const [row] = await database.query<RotatedRow>(statement, values);
    return row === undefined ? null : toTokenSource(row, attempt);
  }

  async function rotateAll(statement: Statement, attempts: readonly RotationAttempt[]) {
    const work = database.query<RotatedRow & { n: number }>(statement, attempts.flatMap(valuesOf));
    const rows = await work.catch((error) => {
      // Something is wrong with one of them, and nothing has happened to any.
      if (error instanceof DatabaseFault) return [];
      throw error;
    });
    const found = new Map(rows.map((row) => [row.n, row]));
    // Whoever has no row now was passed over, or is not to be rotated: alone he waits, and learns which.
    return attempts.map(async (attempt, n) => {
      const row = found.get(n);
      return row === undefined ? rotateOne(attempt) : toTokenSource(row, attempt);
    });
  }

  const { ask, late } = together<RotationAttempt, TokenSource | null>({
    atOnce: AT_ONCE,
    sizeFor,
    async serve(attempts) {
      const statement = several.get(attempts.length);
      return statement === undefined ? Promise.all(attempts.map(rotateOne)) : rotateAll(statement, attempts);
    },
  });

  return { rotate: (attempt) => (attempt.audits.length > 0 ? rotateOne(attempt) : ask(attempt)), late };
}
