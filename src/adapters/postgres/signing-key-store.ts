import type { JWK } from 'jose';
import { type Instant, instant, type SigningAlg } from '../../domain/types.js';
import type { SigningKeyRow, SigningKeyState, SigningKeyStore } from '../../ports/signing-key-store.js';
import { appendAudit } from './audit.js';
import type { Database, Statement } from './database.js';
import type { SigningKey as Row } from './generated/client.js';

/** "keyturn" in ASCII: one lock for all transitions of the key set. */
const KEY_SET_LOCK = '30229394827342446';

const lock: Statement = { name: 'signing_key_lock', text: 'SELECT pg_advisory_xact_lock($1::bigint)' };
const anyActive: Statement = { name: 'signing_key_any', text: `SELECT kid FROM signing_keys WHERE state = 'active'` };
const insert: Statement = {
  name: 'signing_key_insert',
  text: `INSERT INTO signing_keys
      (kid, alg, state, public_jwk, sealed_private, kek_id, created_at, published_at, activated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
};

const at = (date: Date): Instant => instant(date.getTime());

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
});

export const createSigningKeyStore = (database: Database): SigningKeyStore => ({
  async published() {
    const rows = await database.orm((prisma) =>
      prisma.signingKey.findMany({
        where: { state: { in: ['pending', 'active', 'retiring'] } },
        orderBy: [{ createdAt: 'asc' }, { kid: 'asc' }],
      }),
    );
    return rows.map(toDomain);
  },

  async createFirst(key, event) {
    return database.transaction(async (sql) => {
      await sql.query(lock, [KEY_SET_LOCK]);
      if ((await sql.query(anyActive, [])).length > 0) return false;
      await sql.query(insert, [
        key.kid,
        key.alg,
        key.state,
        JSON.stringify(key.publicJwk),
        key.sealedPrivate,
        key.kekId,
        new Date(key.createdAt),
        new Date(key.publishedAt),
        key.activatedAt && new Date(key.activatedAt),
      ]);
      await appendAudit(sql, event);
      return true;
    });
  },
});
