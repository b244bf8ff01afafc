/**
 * audit_seals. Ids are not in the order of the commits: a transaction may add an event with a small id after ones with
 * larger ids have been seen. So nothing is sealed but what no such transaction is left for. Whoever draws an id holds the
 * table's ROW EXCLUSIVE lock from before that until after its commit can be seen; so it is enough to see an id, then
 * look who holds that lock, and wait until none of these does.
 */
import type { AuditSeal, ChainLink } from '../../domain/audit-chain.js';
import { CHAIN_START } from '../../domain/audit-chain.js';
import type { AuditSeals } from '../../ports/audit-seals.js';
import { type RecordRow, recordColumns, toRecord } from './audit-records.js';
import type { Database, Sql, Statement } from './database.js';

/** Held while a batch is sealed, so that however many nodes there are one is at it. */
const LOCK = '7310868735422866531';

const lastSealed = `coalesce((SELECT last_id FROM audit_seals ORDER BY sequence DESC LIMIT 1), '${CHAIN_START.lastId}'::bigint)`;

/** Each statement is to see what has been committed until then, whatever the default of the database is. */
const readCommitted: Statement = {
  name: 'audit_read_committed',
  text: 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED',
};

const stored: Statement = {
  name: 'audit_stored',
  text: `SELECT max(id)::text AS "upTo" FROM (
      SELECT id FROM audit_events WHERE id > ${lastSealed} ORDER BY id LIMIT $1
    ) AS unsealed`,
};

/** The name of a transaction is good until the server starts again; another server has others of the same name. */
const writing = `pg_postmaster_start_time()::text AS server, ARRAY(
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation = 'audit_events'::regclass AND mode = 'RowExclusiveLock' AND granted
  ) AS writers`;

const whoWrites: Statement = { name: 'audit_writers', text: `SELECT ${writing}` };

const begin: Statement = {
  name: 'audit_seal_begin',
  text: `SELECT pg_try_advisory_xact_lock(${LOCK}) AS locked, clock_timestamp() AS now, ${writing}`,
};

const sealColumns = `sequence::integer, form, first_id::text AS "firstId", last_id::text AS "lastId", count,
  event_hashes AS "eventHashes", encode(previous_hash, 'hex') AS "previousHash", encode(hash, 'hex') AS hash,
  sealed_at AS "sealedAt"`;

const last: Statement = {
  name: 'audit_seal_last',
  text: `SELECT sequence::integer, encode(hash, 'hex') AS hash, last_id::text AS "lastId" FROM audit_seals
    ORDER BY audit_seals.sequence DESC LIMIT 1`,
};

const append: Statement = {
  name: 'audit_seal_append',
  text: `INSERT INTO audit_seals (sequence, form, first_id, last_id, count, event_hashes, previous_hash, hash, sealed_at)
    VALUES ($1, $2, $3, $4, $5, $6, decode($7, 'hex'), decode($8, 'hex'), $9)`,
};

const after: Statement = {
  name: 'audit_seals_after',
  text: `SELECT ${sealColumns} FROM audit_seals WHERE audit_seals.sequence > $1 ORDER BY audit_seals.sequence LIMIT $2`,
};

const eventsBetween: Statement = {
  name: 'audit_events_between',
  text: `SELECT ${recordColumns} FROM audit_events WHERE audit_events.id > $1 AND audit_events.id <= $2
    ORDER BY audit_events.id LIMIT $3`,
};

const backlog: Statement = {
  name: 'audit_backlog',
  text: `SELECT count(*)::integer AS events, greatest(coalesce(extract(epoch FROM now() - min(at)), 0), 0)::float8 AS "oldestS"
    FROM (SELECT at FROM audit_events WHERE id > ${lastSealed} ORDER BY id LIMIT $1) AS unsealed`,
};

/** What is not as retention leaves it says nothing: whoever can add an event would end every verification with it. */
const beginning: Statement = {
  name: 'audit_beginning',
  text: `SELECT (details ->> 'through_seal')::integer AS sequence, details ->> 'hash' AS hash,
      details ->> 'through_id' AS "lastId"
    FROM audit_events WHERE event = 'audit.expired' AND details ->> 'through_seal' ~ '^[1-9][0-9]{0,8}$'
      AND details ->> 'through_id' ~ '^[0-9]{1,18}$' AND details ->> 'hash' ~ '^[0-9a-f]{64}$'
    ORDER BY id DESC LIMIT 1`,
};

/** What a webhook that is enabled has not been through yet stays. The least of nothing is not looked at. */
const expire: Statement = {
  name: 'audit_expire',
  text: `SELECT events FROM keyturn_audit_expire(
      least($1::timestamptz, now() - make_interval(secs => $2::float8), (
        SELECT sealed_at FROM audit_seals
        WHERE audit_seals.sequence > (SELECT min(seal) FROM webhook_endpoints WHERE disabled_at IS NULL)
        ORDER BY audit_seals.sequence LIMIT 1
      )), $3::integer) AS expired (events)`,
};

type SealRow = Omit<AuditSeal, 'sealedAt'> & { sealedAt: Date };

const appendSeal = (sql: Sql, seal: AuditSeal): Promise<unknown> =>
  sql.query(append, [
    seal.sequence,
    seal.form,
    seal.firstId,
    seal.lastId,
    seal.count,
    seal.eventHashes,
    seal.previousHash,
    seal.hash,
    new Date(seal.sealedAt),
  ]);

export const createAuditSeals = (database: Database): AuditSeals => ({
  async mark(limit) {
    return database.transaction(async (sql) => {
      await sql.query(readCommitted, []);
      const [seen] = await sql.query<{ upTo: string | null }>(stored, [limit]);
      if (!seen?.upTo) return null;
      // Not in one statement: the id must have been seen before.
      const [now] = await sql.query<{ server: string; writers: string[] }>(whoWrites, []);
      return now === undefined ? null : { upTo: seen.upTo, ...now };
    });
  },

  async seal(mark, limit, make) {
    return database.transaction(async (sql) => {
      await sql.query(readCommitted, []);
      const [begun] = await sql.query<{ locked: boolean; now: Date; server: string; writers: string[] }>(begin, []);
      if (!begun?.locked) return { outcome: 'busy' };
      if (begun.server !== mark.server) return { outcome: 'void' };
      if (mark.writers.some((writer) => begun.writers.includes(writer))) return { outcome: 'waiting' };
      const [before = CHAIN_START] = await sql.query<ChainLink>(last, []);
      const events = await sql.query<RecordRow>(eventsBetween, [before.lastId, mark.upTo, limit]);
      const seal = make(before, events.map(toRecord), begun.now);
      if (seal === null) return { outcome: 'nothing' };
      await appendSeal(sql, seal);
      return { outcome: 'sealed', seal };
    });
  },

  async backlog(limit) {
    const [found] = await database.query<{ events: number; oldestS: number }>(backlog, [limit]);
    return found ?? { events: 0, oldestS: 0 };
  },

  async beginning() {
    const [found] = await database.query<ChainLink>(beginning, []);
    return found ?? null;
  },

  async after(sequence, limit) {
    const rows = await database.query<SealRow>(after, [sequence, limit]);
    return rows.map((row) => ({ ...row, sealedAt: row.sealedAt.toISOString() }));
  },

  async events(afterId, upTo, limit) {
    return (await database.query<RecordRow>(eventsBetween, [afterId, upTo, limit])).map(toRecord);
  },

  async expire(before, keptS, limit) {
    const [found] = await database.query<{ events: number | null }>(expire, [before, keptS, limit]);
    return found?.events ?? null;
  },
});
