import type { JWK } from 'jose';
import { type Instant, instant, type SigningAlg } from '../../domain/types.js';
import type { DatabaseHealth } from '../../ports/database-health.js';
import type { SigningKeyRow, SigningKeyState, SigningKeyStore } from '../../ports/signing-key-store.js';
import { appendAudit } from './audit.js';
import type { Database, Sql, Statement } from './database.js';
import type { SigningKey as Row } from './generated/client.js';

/** "keyturn" in ASCII: one lock for all transitions of the key set. */
const KEY_SET_LOCK = '30229394827342446';

const lock: Statement = { name: 'signing_key_lock', text: 'SELECT pg_advisory_xact_lock($1::bigint)' };
const anyKey: Statement = { name: 'signing_key_any', text: 'SELECT 1 FROM signing_keys LIMIT 1' };
/** As the models of Prisma name them. */
const returned = `kid, alg, state, public_jwk AS "publicJwk", sealed_private AS "sealedPrivate", kek_id AS "kekId",
      created_at AS "createdAt", published_at AS "publishedAt", activated_at AS "activatedAt",
      retiring_at AS "retiringAt", retired_at AS "retiredAt", revoked_at AS "revokedAt", promote_at AS "promoteAt",
      longest_token_ttl AS "longestTokenTtl"`;
const published: Statement = {
  name: 'signing_key_published',
  text: `SELECT ${returned} FROM signing_keys WHERE state IN ('pending', 'active', 'retiring') ORDER BY created_at, kid`,
};
const all: Statement = {
  name: 'signing_key_all',
  text: `SELECT ${returned} FROM signing_keys ORDER BY created_at, kid`,
};
const longestTtl: Statement = {
  name: 'client_longest_ttl',
  text: 'SELECT coalesce(max(access_token_ttl), 0) AS longest FROM clients',
};
/** All that a transition is decided by, so that of two decisions on one key set the second finds it changed. */
const current: Statement = {
  name: 'signing_key_current',
  text: `SELECT kid, state, sealed_private AS "sealedPrivate", kek_id AS "kekId", promote_at AS "promoteAt",
      longest_token_ttl AS "longestTokenTtl"
    FROM signing_keys`,
};
const put: Statement = {
  name: 'signing_key_put',
  text: `INSERT INTO signing_keys (kid, alg, state, public_jwk, sealed_private, kek_id, created_at, published_at,
      activated_at, retiring_at, retired_at, revoked_at, promote_at, longest_token_ttl)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (kid) DO UPDATE SET (state, sealed_private, kek_id, activated_at, retiring_at, retired_at, revoked_at,
      promote_at, longest_token_ttl) = (EXCLUDED.state, EXCLUDED.sealed_private, EXCLUDED.kek_id, EXCLUDED.activated_at,
      EXCLUDED.retiring_at, EXCLUDED.retired_at, EXCLUDED.revoked_at, EXCLUDED.promote_at, EXCLUDED.longest_token_ttl)`,
};

const at = (date: Date): Instant => instant(date.getTime());
const date = (at: Instant | null): Date | null => (at === null ? null : new Date(at));

const toDomain = (row: Row): SigningKeyRow => ({
  kid: row.kid,
  alg: row.alg as SigningAlg,
  state: row.state as SigningKeyState,
  publicJwk: row.publicJwk as unknown as JWK,
  sealedPrivate: row.sealedPrivate,
  kekId: row.kekId,
  createdAt: at(row.createdAt),
  publishedAt: at(row.publishedAt),
  activatedAt: row.activatedAt && at(row.activatedAt),
  retiringAt: row.retiringAt && at(row.retiringAt),
  retiredAt: row.retiredAt && at(row.retiredAt),
  revokedAt: row.revokedAt && at(row.revokedAt),
  promoteAt: row.promoteAt && at(row.promoteAt),
  longestTokenTtl: row.longestTokenTtl,
});

interface Compared {
  kid: string;
  state: string;
  sealedPrivate: Uint8Array | null;
  kekId: string | null;
  promoteAt: Date | Instant | null;
  longestTokenTtl: number;
}

const fingerprint = (rows: readonly Compared[]): string =>
  JSON.stringify(
    rows
      .map(({ kid, state, sealedPrivate, kekId, promoteAt, longestTokenTtl }) => {
        const sealed = sealedPrivate && Buffer.from(sealedPrivate).toString('base64');
        return [kid, state, sealed, kekId, promoteAt && Number(promoteAt), longestTokenTtl];
      })
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  );

const putKey = (sql: Sql, key: SigningKeyRow): Promise<unknown> =>
  sql.query(put, [
    key.kid,
    key.alg,
    key.state,
    JSON.stringify(key.publicJwk),
    key.sealedPrivate,
    key.kekId,
    date(key.createdAt),
    date(key.publishedAt),
    date(key.activatedAt),
    date(key.retiringAt),
    date(key.retiredAt),
    date(key.revokedAt),
    date(key.promoteAt),
    key.longestTokenTtl,
  ]);

export const createSigningKeyStore = (database: Database, health: DatabaseHealth): SigningKeyStore => ({
  async published() {
    return (await database.query<Row>(published, [])).map(toDomain);
  },

  async keySet() {
    const [now, rows, longest] = await Promise.all([
      health.now(),
      database.query<Row>(all, []),
      database.query<{ longest: number }>(longestTtl, []),
    ]);
    return { keys: rows.map(toDomain), longestTokenTtl: longest[0]?.longest ?? 0, now };
  },

  async createFirst(key, event) {
    return database.transaction(async (sql) => {
      await sql.query(lock, [KEY_SET_LOCK]);
      if ((await sql.query(anyKey, [])).length > 0) return false;
      await putKey(sql, key);
      await appendAudit(sql, event);
      return true;
    });
  },

  async change(seen, keys, events) {
    return database.transaction(async (sql) => {
      await sql.query(lock, [KEY_SET_LOCK]);
      if (fingerprint(await sql.query<Compared>(current, [])) !== fingerprint(seen)) return false;
      for (const key of keys) await putKey(sql, key);
      for (const event of events) await appendAudit(sql, event);
      return true;
    });
  },
});
