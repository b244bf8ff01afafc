import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { createInProcessAnnouncements } from '../../src/adapters/in-process/announcements.js';
import { nodeTokenSigner, thumbprint } from '../../src/adapters/node-crypto/token-signer.js';
import { systemRandom } from '../../src/adapters/system/random.js';
import { createKeyRing, MAX_VIEW_AGE_S } from '../../src/domain/key-ring.js';
import { createKeyVault } from '../../src/domain/key-vault.js';
import { openPrivateKey, sealPrivateKey } from '../../src/domain/sealing.js';
import { instant, type SigningAlg } from '../../src/domain/types.js';
import type { TokenSigner } from '../../src/ports/token-signer.js';
import { fakeClock } from '../support/clock.js';
import { fakeDevice } from '../support/device.js';
import { eventually } from '../support/process.js';
import { testKeks } from '../support/service.js';
import { memoryKeyStore } from '../support/signing-keys.js';

function makeRing(
  alg: SigningAlg = 'ES256',
  memory = memoryKeyStore(),
  keks = testKeks(),
  signer: TokenSigner = nodeTokenSigner,
) {
  const clock = fakeClock();
  const vault = createKeyVault({ keks, signer, random: systemRandom, thumbprint });
  const announcements = createInProcessAnnouncements();
  return { ring: createKeyRing({ store: memory.store, vault, announcements, clock, alg }), clock, memory, keks };
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

t.test('a clock that is set back does not make an old view look fresh', async (t) => {
  const { ring, clock } = makeRing();
  await ring.load();
  clock.advance(MAX_VIEW_AGE_S + 1);
  clock.setBack(3600);
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
});

t.test('nor does one that is set back or put forward make a fresh view look old', async (t) => {
  const { ring, clock } = makeRing();
  await ring.load();
  clock.setBack(-86_400);
  t.ok(ring.signingKey());
});

t.test('a first key is made where there has never been one, and not in place of those that there were', async (t) => {
  const { ring, memory } = makeRing();
  await ring.load();
  const [key] = memory.rows;
  if (key === undefined) throw new Error('no key');
  memory.rows[0] = { ...key, state: 'revoked', sealedPrivate: null, kekId: null };
  await ring.load();
  t.equal(memory.rows.length, 1);
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
  t.same(ring.published(), []);
});

t.test(
  'a key that is published no longer is known to have been, though the node has looked a moment ago',
  async (t) => {
    const { ring, memory } = makeRing();
    await ring.load();
    const { kid } = ring.signingKey();
    await ring.find('unknown');
    memory.rows.splice(0, 1, ...memory.rows.map((row) => ({ ...row, state: 'revoked' as const })));
    await ring.load();
    t.equal(await ring.find(kid), null);
    t.ok(ring.wasPublished(kid));
    t.notOk(ring.wasPublished('unknown'));
  },
);

t.test('of those who present an old key at once, all wait for the first look', async (t) => {
  const { ring, memory, keks } = makeRing();
  await ring.load();
  const { kid } = ring.signingKey();
  memory.rows.splice(0, 1, ...memory.rows.map((row) => ({ ...row, state: 'retired' as const })));
  const restarted = makeRing('ES256', memory, keks).ring;
  await restarted.load();
  const known = async () => {
    await restarted.find(kid);
    return restarted.wasPublished(kid);
  };
  t.strictSame(await Promise.all([known(), known(), known()]), [true, true, true]);
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

t.test(
  'a key that cannot be opened is told of with its reason, goes on verifying, and gets no successor',
  async (t) => {
    const memory = memoryKeyStore();
    const { ring: first, keks } = makeRing('ES256', memory);
    await first.load();
    const [key] = memory.rows;
    if (key?.sealedPrivate == null) throw new Error('no key');
    const otherKek = testKeks();
    const sealed = key.sealedPrivate;
    for (const [name, found, row, problem] of [
      ['a missing KEK', { ...keks, find: () => null }, key, 'kek_missing'],
      ['another KEK of that name', otherKek, key, 'seal_broken'],
      ['a cut row', keks, { ...key, sealedPrivate: sealed.subarray(0, 40) }, 'seal_broken'],
      ['an empty row', keks, { ...key, sealedPrivate: new Uint8Array() }, 'seal_broken'],
      ['a row of another key', keks, { ...key, kid: 'another' }, 'seal_broken'],
      [
        'a sealed thing that is no key',
        keks,
        { ...key, sealedPrivate: sealPrivateKey(Buffer.from('no key'), key.kid, keks.newest(), systemRandom) },
        'not_usable',
      ],
    ] as const) {
      memory.rows.splice(0, memory.rows.length, row);
      const { ring } = makeRing('ES256', memory, found);
      await ring.load();
      t.match(ring.problems(), [{ kid: row.kid, kekId: 'test', problem }], name);
      t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' }, name);
      t.ok(await ring.find(row.kid), name);
      t.same(memory.rows, [row], name);
    }
  },
);

t.test('a key that is sealed anew in a way the node cannot open signs on, and is told of', async (t) => {
  const { ring, memory } = makeRing();
  await ring.load();
  const [key] = memory.rows;
  if (key === undefined) throw new Error('no key');
  memory.rows[0] = { ...key, sealedPrivate: systemRandom.bytes(64), kekId: 'newer' };
  await ring.load();
  t.equal(ring.signingKey().kid, key.kid);
  t.same(ring.problems(), [{ kid: key.kid, kekId: 'newer', problem: 'kek_missing' }]);
  memory.rows[0] = key;
  await ring.load();
  t.same(ring.problems(), []);
});

t.test(
  'a key that has been revoked is forgotten: it does not sign, even were its row put back to active',
  async (t) => {
    const memory = memoryKeyStore();
    const { ring } = makeRing('ES256', memory);
    await ring.load();
    const [key] = memory.rows;
    if (key === undefined) throw new Error('no key');
    memory.rows[0] = { ...key, state: 'revoked', sealedPrivate: null, kekId: null };
    await ring.load();
    t.equal(await ring.find(key.kid), null);
    memory.rows[0] = { ...key, sealedPrivate: systemRandom.bytes(64) };
    await ring.load();
    t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' }, 'no handle was kept');
  },
);

t.test('a key whose device cannot be reached is told of, goes on verifying, and signs when it is back', async (t) => {
  const memory = memoryKeyStore();
  const keks = testKeks();
  const { state, signer } = fakeDevice();
  const { ring } = makeRing('ES256', memory, keks, signer);
  await ring.load();
  t.ok(ring.signingKey());
  state.plugged = false;
  await ring.load();
  await setImmediate();
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' }, 'nothing is begun that cannot be answered');
  const kid = memory.rows[0]?.kid ?? '';
  t.match(ring.problems(), [{ kid, kekId: 'test', problem: 'not_signing', error: /CKR_DEVICE_REMOVED/ }]);

  const second = makeRing('ES256', memory, keks, signer).ring;
  await second.load();
  t.same(second.problems(), [{ kid, kekId: 'test', problem: 'not_usable', error: 'CKR_DEVICE_REMOVED' }]);
  t.throws(() => second.signingKey(), { code: 'signing_key_unavailable' });
  t.ok(await second.find(kid));
  state.plugged = true;
  for (const node of [ring, second]) await node.load();
  await eventually(
    () => ring.problems().length === 0,
    () => 'it is not used again',
  );
  t.same(second.problems(), []);
  for (const node of [ring, second]) t.equal(node.signingKey().kid, kid);
  t.equal(memory.rows.length, 1, 'no other key was made meanwhile');
});

t.test('the first key of a node that was not the first is destroyed', async (t) => {
  const memory = memoryKeyStore();
  const { keys, signer } = fakeDevice();
  const { published } = memory.store;
  const { keySet } = memory.store;
  let reads = 0;
  // Both nodes have looked before one of them stores its key.
  memory.store.published = async () => (++reads <= 2 ? [] : published());
  memory.store.keySet = async () => (reads <= 2 ? { keys: [], longestTokenTtl: 0, now: instant(0) } : keySet());
  const keks = testKeks();
  const rings = [makeRing('ES256', memory, keks, signer).ring, makeRing('ES256', memory, keks, signer).ring];
  await Promise.all(rings.map((ring) => ring.load()));
  t.equal(memory.rows.length, 1);
  const kid = memory.rows[0]?.kid ?? '';
  t.same([...keys.keys()], [kid]);
  for (const ring of rings) t.equal(ring.signingKey().kid, kid);
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
  const published = ring.published();
  t.same(
    published.map(({ kid }) => kid),
    [active.kid, 'next', 'last'],
  );
  await ring.load();
  t.equal(ring.published(), published, 'the same as long as nothing changes');
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
