import t from 'tap';
import { createInProcessAnnouncements } from '../../src/adapters/in-process/announcements.js';
import { nodeTokenSigner, thumbprint } from '../../src/adapters/node-crypto/token-signer.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { createKeyRing, MAX_VIEW_AGE_S } from '../../src/domain/key-ring.js';
import { openPrivateKey, sealPrivateKey } from '../../src/domain/sealing.js';
import type { SigningAlg } from '../../src/domain/types.js';
import type { SigningKeyRow, SigningKeyStore } from '../../src/ports/signing-key-store.js';
import type { TokenSigner } from '../../src/ports/token-signer.js';
import { fakeClock } from '../support/clock.js';
import { testKeks } from '../support/service.js';

/** A store in memory; what the real ones do is for their contract test. */
function memoryStore() {
  const rows: SigningKeyRow[] = [];
  const state = { reads: 0, fails: false };
  const store: SigningKeyStore = {
    async published() {
      state.reads++;
      if (state.fails) throw new Error('unreachable');
      return rows.filter((row) => ['pending', 'active', 'retiring'].includes(row.state));
    },
    async createFirst(row) {
      if (rows.some(({ state }) => state === 'active')) return false;
      rows.push(row);
      return true;
    },
  };
  return { rows, state, store };
}

function makeRing(alg: SigningAlg = 'ES256', memory = memoryStore(), keks = testKeks(), signer = nodeTokenSigner) {
  const clock = fakeClock();
  const announcements = createInProcessAnnouncements();
  const parts = {
    store: memory.store,
    keks,
    signer,
    announcements,
    clock,
    random: systemRandom,
    alg,
    thumbprint,
  };
  return { ring: createKeyRing(parts), clock, memory, keks };
}

t.test('the first load makes a key that signs at once; a second node takes the same one', async (t) => {
  const { ring, memory, keks } = makeRing();
  await ring.load();
  const { kid, alg, handle } = ring.signingKey();
  t.equal(alg, 'ES256');
  t.ok((await handle.sign(Buffer.from('x'))).length > 0);
  t.match(memory.rows, [{ kid, state: 'active', publicJwk: { kid, alg, use: 'sig', kty: 'EC' } }]);
  t.same(
    Object.keys(memory.rows[0]?.publicJwk ?? {}).sort(),
    ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
    'public members only',
  );
  const second = makeRing('ES256', memory, keks).ring;
  await second.load();
  t.equal(second.signingKey().kid, kid);
});

t.test('a node refuses to sign before it has seen the keys, and once its view is too old', async (t) => {
  const { ring, clock, memory } = makeRing();
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
  await ring.load();
  clock.advance(MAX_VIEW_AGE_S);
  t.ok(ring.signingKey());
  clock.advance(1);
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
  memory.state.fails = true;
  await t.rejects(ring.load());
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' }, 'a failed look does not make it fresh');
  t.equal(ring.published().length, 1, 'but what was published is still served');
  memory.state.fails = false;
  await ring.load();
  t.ok(ring.signingKey());
});

t.test('an unknown kid makes the node look once, not at every request', async (t) => {
  const { ring, clock, memory } = makeRing();
  await ring.load();
  const { reads } = memory.state;
  for (let n = 0; n < 5; n++) t.equal(await ring.find('unknown'), null);
  t.equal(memory.state.reads, reads + 1);
  clock.advance(5);
  await ring.find('unknown');
  t.equal(memory.state.reads, reads + 2);
});

t.test('a key under a KEK that is not there is told of, and goes on verifying', async (t) => {
  const memory = memoryStore();
  const first = makeRing('ES256', memory);
  await first.ring.load();
  const { ring } = makeRing('ES256', memory, testKeks());
  await ring.load();
  const kid = memory.rows[0]?.kid ?? '';
  t.same(ring.problems(), [{ kid, kekId: 'test' }]);
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
  t.ok(await ring.find(kid));
});

/** A device that can be unplugged; the keys are in this process all the same. */
function pluggable() {
  const state = { plugged: true, destroyed: 0 };
  const unplugged = () => new Error('CKR_DEVICE_REMOVED');
  const signer: TokenSigner = {
    ...nodeTokenSigner,
    async open(alg, material) {
      if (!state.plugged) throw unplugged();
      return { ...(await nodeTokenSigner.open(alg, material)), available: () => state.plugged };
    },
    async destroy() {
      state.destroyed++;
    },
  };
  return { state, signer };
}

t.test('a key whose device cannot be reached is told of, goes on verifying, and signs when it is back', async (t) => {
  const memory = memoryStore();
  const keks = testKeks();
  const { state, signer } = pluggable();
  const { ring } = makeRing('ES256', memory, keks, signer);
  await ring.load();
  t.ok(ring.signingKey());
  state.plugged = false;
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' }, 'nothing is begun that cannot be answered');

  const second = makeRing('ES256', memory, keks, signer).ring;
  await second.load();
  const kid = memory.rows[0]?.kid ?? '';
  t.same(second.problems(), [{ kid, kekId: 'test', error: 'CKR_DEVICE_REMOVED' }]);
  t.throws(() => second.signingKey(), { code: 'signing_key_unavailable' });
  t.ok(await second.find(kid));
  state.plugged = true;
  await second.load();
  t.same(second.problems(), []);
  t.equal(second.signingKey().kid, kid);
});

t.test('the first key of a node that was not the first is destroyed', async (t) => {
  const memory = memoryStore();
  const { state, signer } = pluggable();
  const { published } = memory.store;
  let reads = 0;
  // Both nodes have looked before one of them stores its key.
  memory.store.published = async () => (++reads <= 2 ? [] : published());
  const keks = testKeks();
  const rings = [makeRing('ES256', memory, keks, signer).ring, makeRing('ES256', memory, keks, signer).ring];
  await Promise.all(rings.map((ring) => ring.load()));
  t.equal(memory.rows.length, 1);
  t.equal(state.destroyed, 1);
  t.same(new Set(rings.map((ring) => ring.signingKey().kid)), new Set([memory.rows[0]?.kid]));
});

t.test('pending and retiring keys are published, and do not sign', async (t) => {
  const { ring, memory } = makeRing();
  await ring.load();
  const active = memory.rows[0];
  if (active === undefined) throw new Error('no key');
  memory.rows.push({ ...active, kid: 'next', state: 'pending' });
  memory.rows.push({ ...active, kid: 'last', state: 'retiring', sealedPrivate: null, kekId: null });
  memory.rows.push({ ...active, kid: 'gone', state: 'retired', sealedPrivate: null, kekId: null });
  await ring.load();
  t.same(
    ring.published().map(({ kid }) => kid),
    [active.kid, 'next', 'last'],
  );
  t.equal(ring.signingKey().kid, active.kid);
  t.equal(await ring.find('gone'), null);
});

t.test('a sealed key opens under its KEK, for its kid, unchanged; and not otherwise', async (t) => {
  const kek = { id: 'a', key: systemRandom.bytes(32) };
  const sealed = sealPrivateKey(Buffer.from('private'), 'kid', kek, systemRandom);
  t.equal(Buffer.from(openPrivateKey(sealed, 'kid', kek) ?? []).toString(), 'private');
  t.notSame(sealPrivateKey(Buffer.from('private'), 'kid', kek, systemRandom), sealed, 'a nonce is drawn each time');
  t.equal(openPrivateKey(sealed, 'other', kek), null);
  t.equal(openPrivateKey(sealed, 'kid', { ...kek, id: 'b' }), null);
  t.equal(openPrivateKey(sealed, 'kid', { ...kek, key: systemRandom.bytes(32) }), null);
  t.equal(openPrivateKey(sealed.subarray(0, 20), 'kid', kek), null);
  for (let at = 0; at < sealed.length; at++) {
    const changed = new Uint8Array(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    t.equal(openPrivateKey(changed, 'kid', kek), null);
  }
});
