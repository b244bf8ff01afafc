import t from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createSigningKeyStore } from '../../src/adapters/postgres/signing-key-store.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { auditEvent } from '../../src/domain/audit.js';
import { instant, later } from '../../src/domain/types.js';
import type { SigningKeyRow, SigningKeyState } from '../../src/ports/signing-key-store.js';
import { onEachDatabase } from '../support/databases.js';
import { execute, rowOf, rowsOf } from '../support/service.js';

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
  retiringAt: null,
  retiredAt: null,
  revokedAt: null,
  promoteAt: null,
  longestTokenTtl: 0,
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

const health = { now: async () => AT };

t.test('signing key store', (t) =>
  onEachDatabase(t, async (t, database) => {
    const store = createSigningKeyStore(database, health);
    t.beforeEach(() => execute(database, 'DELETE FROM signing_keys'));
    let before: unknown = 0;
    t.beforeEach(async () => {
      before = (await rowOf(database, '(SELECT coalesce(max(id), 0) AS id FROM audit_events) AS last')).id;
    });
    const events = async () =>
      (await rowsOf(database, 'audit_events', `event = 'signing_key.created' AND id > ${before}`)).map(
        ({ details }) => details,
      );

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

    t.test('no key is the first where there has been one, whatever became of it', async (t) => {
      for (const state of ['pending', 'active', 'retiring', 'retired', 'revoked'] as const) {
        await execute(database, 'DELETE FROM signing_keys');
        await put(database, state, state);
        t.equal(await store.createFirst(keyWith('next'), created(keyWith('next'))), false, state);
        t.same(
          (await store.keySet()).keys.map(({ kid }) => kid),
          [state],
        );
      }
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

    t.test('a change is stored as a whole: rows in the place of others, new ones, and events', async (t) => {
      const one = keyWith('one');
      await store.createFirst(one, created(one));
      const retiring = {
        ...one,
        state: 'retiring' as const,
        sealedPrivate: null,
        kekId: null,
        retiringAt: later(AT, 3),
        longestTokenTtl: 900,
      };
      const two = keyWith('two', { createdAt: later(AT, 1) });
      const three = keyWith('three', {
        state: 'pending',
        createdAt: later(AT, 2),
        activatedAt: null,
        promoteAt: later(AT, 3),
      });
      t.equal(await store.change([one], [retiring, two, three], [created(two), created(three)]), true);
      t.strictSame((await store.keySet()).keys.map(plain), [retiring, two, three]);
      t.strictSame(await events(), [{ kid: 'one' }, { kid: 'two' }, { kid: 'three' }]);
      const retired = { ...retiring, state: 'retired' as const, retiredAt: later(AT, 4) };
      const revoked = {
        ...three,
        state: 'revoked' as const,
        sealedPrivate: null,
        kekId: null,
        promoteAt: null,
        revokedAt: later(AT, 5),
      };
      t.equal(await store.change([retiring, two, three], [retired, revoked], []), true);
      t.strictSame((await store.keySet()).keys.map(plain), [retired, two, revoked]);
      t.strictSame((await store.published()).map(plain), [two]);
    });

    t.test('a change that was decided on what is no longer so is not stored', async (t) => {
      const one = keyWith('one');
      const two = keyWith('two', { state: 'pending' });
      await store.createFirst(one, created(one));
      await store.change([one], [two], []);
      const three = keyWith('three', { state: 'pending' });
      for (const [name, seen] of [
        ['a key more', [one]],
        ['a key less', [one, two, three]],
        ['another state', [one, { ...two, state: 'active' as const }]],
        ['another seal', [one, { ...two, sealedPrivate: systemRandom.bytes(64) }]],
        ['another KEK', [one, { ...two, kekId: 'other' }]],
        ['a rotation asked for', [one, { ...two, promoteAt: AT }]],
        ['longer tokens', [{ ...one, longestTokenTtl: 1 }, two]],
      ] as const) {
        t.equal(await store.change(seen, [three], [created(three)]), false, name);
      }
      t.strictSame((await store.keySet()).keys.map(plain), [one, two]);
      t.strictSame(await events(), [{ kid: 'one' }]);
      t.equal(await store.change([two, one], [three], []), true, 'in whatever order it was seen');
    });

    t.test('two keys of one algorithm are never active, whoever says so', async (t) => {
      const one = keyWith('one');
      await store.createFirst(one, created(one));
      await t.rejects(store.change([one], [keyWith('two')], [created(keyWith('two'))]), { code: '23505' });
      t.strictSame((await store.keySet()).keys.map(plain), [one]);
      t.strictSame(await events(), [{ kid: 'one' }]);
      const other = keyWith('two', { alg: 'ES256' });
      t.equal(await store.change([one], [other], []), true, 'of another algorithm there may be one more');
    });

    t.test('of twenty changes of one key set exactly one is stored', async (t) => {
      const one = keyWith('one');
      await store.createFirst(one, created(one));
      const stores = Array.from({ length: 20 }, () => createSigningKeyStore(database, health));
      const results = await Promise.all(
        stores.map((store, i) => {
          const key = keyWith(`next${i}`, { state: 'pending' });
          return store.change([one], [key], [created(key)]);
        }),
      );
      t.equal(results.filter((won) => won).length, 1);
      t.strictSame(
        (await store.keySet()).keys.map(({ kid }) => kid),
        [`next${results.indexOf(true)}`, 'one'].sort(),
      );
      t.equal((await events()).length, 2);
    });

    t.test('the longest life of tokens is that of the client whose tokens live longest', async (t) => {
      await execute(database, 'DELETE FROM clients');
      t.match(await store.keySet(), { longestTokenTtl: 0, now: AT });
      for (const [id, ttl] of [
        ['a', 900],
        ['b', 3600],
        ['c', 60],
      ]) {
        await execute(
          database,
          `INSERT INTO clients (client_id, name, type, audiences, grants, access_token_ttl, idle_ttl, absolute_ttl,
            token_delivery, renew_after, created_at) VALUES ('${id}', '', 'public', '{api}', '{}', ${ttl}, 1, 1, 'body', 0, now())`,
        );
      }
      t.equal((await store.keySet()).longestTokenTtl, 3600);
    });
  }),
);
