import t from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createSigningKeyStore } from '../../src/adapters/postgres/signing-key-store.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { auditEvent } from '../../src/domain/audit.js';
import { instant, later } from '../../src/domain/types.js';
import type { SigningKeyRow, SigningKeyState } from '../../src/ports/signing-key-store.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowsOf } from '../support/service.js';

const AT = instant(Date.UTC(2026, 2, 1, 12, 0, 0, 251));

const keyWith = (kid: string, more: Partial<SigningKeyRow> = {}): SigningKeyRow => ({
  kid,
  alg: 'RS256',
  state: 'active',
  publicJwk: { kty: 'RSA', n: kid, e: 'AQAB', kid, alg: 'RS256', use: 'sig' },
  sealedPrivate: systemRandom.bytes(64),
  kekId: 'kek',
  createdAt: AT,
  publishedAt: later(AT, 1),
  activatedAt: later(AT, 2),
  ...more,
});
const created = ({ kid }: SigningKeyRow) =>
  auditEvent(
    'signing_key.created',
    'success',
    AT,
    { ip: null, place: null, userAgent: null, requestId: null },
    { actor: 'service', details: { kid } },
  );

const plain = (key: SigningKeyRow): SigningKeyRow => ({
  ...key,
  sealedPrivate: key.sealedPrivate && new Uint8Array(key.sealedPrivate),
});

async function put(database: Database, kid: string, state: SigningKeyState, at = AT): Promise<void> {
  const isPrivate = state === 'pending' || state === 'active';
  const time = `'${new Date(at).toISOString()}'`;
  await execute(
    database,
    `INSERT INTO signing_keys (kid, alg, state, public_jwk, sealed_private, kek_id, created_at, published_at)
      VALUES ('${kid}', 'RS256', '${state}', '{}', ${isPrivate ? `'x', 'kek'` : 'NULL, NULL'}, ${time}, ${time})`,
  );
}

t.test('signing key store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const store = createSigningKeyStore(database);
    t.beforeEach(() => execute(database, 'DELETE FROM signing_keys'));
    t.beforeEach(() => execute(database, 'DELETE FROM audit_events'));
    const events = async () =>
      (await rowsOf(database, 'audit_events', `event = 'signing_key.created'`)).map(({ details }) => details);

    t.test('the first key comes back as it was stored', async (t) => {
      t.strictSame(await store.published(), []);
      const key = keyWith('first');
      t.equal(await store.createFirst(key, created(key)), true);
      t.strictSame((await store.published()).map(plain), [key]);
      t.strictSame(await events(), [{ kid: 'first' }]);
    });

    t.test('of ten nodes that start together exactly one makes the first key', async (t) => {
      const keys = Array.from({ length: 10 }, (_, i) => keyWith(`node${i}`));
      const results = await Promise.all(keys.map((key) => store.createFirst(key, created(key))));
      t.equal(results.filter((won) => won).length, 1);
      const winner = keys[results.indexOf(true)];
      t.strictSame((await store.published()).map(plain), [winner], 'all see the same');
      t.strictSame(await events(), [{ kid: winner?.kid }]);
    });

    t.test('there is one first key, even among algorithms', async (t) => {
      const keys = (['RS256', 'ES256', 'EdDSA', 'PS256'] as const).map((alg) => keyWith(alg, { alg }));
      const results = await Promise.all(keys.map((key) => store.createFirst(key, created(key))));
      t.equal(results.filter((won) => won).length, 1);
      t.equal((await store.published()).length, 1);
    });

    t.test('a key is still the first when those before it no longer sign', async (t) => {
      for (const state of ['pending', 'retiring', 'retired', 'revoked'] as const) await put(database, state, state);
      const key = keyWith('next');
      t.equal(await store.createFirst(key, created(key)), true);
      t.equal(await store.createFirst(keyWith('another'), created(keyWith('another'))), false);
    });

    t.test('pending, active and retiring keys are published, the oldest first', async (t) => {
      await put(database, 'c-retiring', 'retiring', later(AT, -60));
      await put(database, 'b-pending', 'pending', later(AT, 60));
      await put(database, 'a-pending', 'pending', later(AT, 60));
      await put(database, 'd-active', 'active');
      await put(database, 'retired', 'retired');
      await put(database, 'revoked', 'revoked');
      const published = await store.published();
      t.strictSame(
        published.map(({ kid }) => kid),
        ['c-retiring', 'd-active', 'a-pending', 'b-pending'],
      );
      t.equal(published[0]?.sealedPrivate, null);
      t.equal(published[0]?.activatedAt, null);
    });

    t.test('a key that cannot be stored leaves nothing, and no lock behind', async (t) => {
      const half = keyWith('half', { kekId: null });
      await t.rejects(store.createFirst(half, created(half)), { name: 'DatabaseFault' });
      t.strictSame(await events(), []);
      const key = keyWith('whole');
      t.equal(await store.createFirst(key, created(key)), true);
    });
  }),
);
