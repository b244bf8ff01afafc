/** Private keys outside of the store: destroyed when their time is over, and never before. */
import { decodeProtectedHeader } from 'jose';
import t from 'tap';
import { nodeTokenSigner } from '../../src/adapters/node-crypto/token-signer.js';
import { severalSigners } from '../../src/adapters/several-signers/token-signer.js';
import { createAccessTokenIssuer } from '../../src/domain/access-token.js';
import type { By } from '../../src/domain/types.js';
import { fakeClock } from '../support/clock.js';
import { fakeDevice } from '../support/device.js';
import { type KeyNodeOptions, keyNode, memoryKeyStore, severalKeks } from '../support/signing-keys.js';

const by: By = {
  actor: 'user:ops',
  userId: null,
  caller: { ip: null, place: null, userAgent: null, requestId: null },
};

/** A node with a device that has been running for an hour, and what another one like it is made of. */
async function settled() {
  const clock = fakeClock();
  const memory = memoryKeyStore(clock);
  const device = fakeDevice();
  const options: KeyNodeOptions = {
    store: memory.store,
    clock,
    keks: severalKeks('a'),
    signer: severalSigners(device.signer, nodeTokenSigner),
  };
  const node = keyNode(options);
  await node.signingKeys.tend();
  clock.advance(3600);
  await node.ring.load();
  const kidIn = (state: string) => memory.rows.find((row) => row.state === state)?.kid ?? '';
  const held = () => [...device.keys.keys()].sort();
  const live = () => memory.rows.filter(({ sealedPrivate }) => sealedPrivate !== null).map(({ kid }) => kid);
  return { ...node, memory, device, options, kidIn, held, live: () => live().sort() };
}

t.test('a key that retires or is revoked is destroyed in the device, and no other one is', async (t) => {
  const { signingKeys, held, live, kidIn } = await settled();
  const first = kidIn('active');
  await signingKeys.rotate(by);
  t.equal(held().length, 2);
  t.same(held(), live());
  t.notOk(held().includes(first));
  const pending = kidIn('pending');
  await signingKeys.revoke(pending, { compromised: false }, by);
  t.notOk(held().includes(pending));
  const active = kidIn('active');
  await signingKeys.revoke(active, { compromised: true }, by);
  t.notOk(held().includes(active));
  t.same(held(), live());
  t.same(signingKeys.leftovers(), []);
});

t.test('what cannot be destroyed is told of by kid, and destroyed when the device is back', async (t) => {
  const { signingKeys, device, held, live, kidIn } = await settled();
  const leaked = kidIn('active');
  const { destroy } = device.signer;
  device.signer.destroy = async () => {
    throw new Error('CKR_DEVICE_ERROR');
  };
  await signingKeys.revoke(leaked, { compromised: true }, by);
  t.same(signingKeys.leftovers(), [{ kid: leaked, leftover: 'not_destroyed', error: 'CKR_DEVICE_ERROR' }]);
  t.ok(held().includes(leaked));
  device.signer.destroy = destroy;
  await signingKeys.tend();
  t.same(signingKeys.leftovers(), []);
  t.same(held(), live());
});

t.test('what one node cannot destroy and another one does is no longer told of', async (t) => {
  const { options, device, kidIn } = await settled();
  const destroy = async () => Promise.reject(new Error('CKR_DEVICE_ERROR'));
  const weak = keyNode({ ...options, signer: severalSigners({ ...device.signer, destroy }, nodeTokenSigner) });
  const kid = kidIn('active');
  await weak.signingKeys.revoke(kid, { compromised: true }, by);
  t.match(weak.signingKeys.leftovers(), [{ kid, leftover: 'not_destroyed' }]);
  await keyNode(options).signingKeys.tend();
  t.notOk(device.keys.has(kid));
  await weak.signingKeys.tend();
  t.same(weak.signingKeys.leftovers(), []);
});

t.test('what a process that died, or a command without the device, left behind is found by the next', async (t) => {
  const { signingKeys, device, options, held, live, kidIn } = await settled();
  const withoutDevice = keyNode({ ...options, signer: severalSigners(nodeTokenSigner) }).signingKeys;
  const pending = kidIn('pending');
  await withoutDevice.revoke(pending, { compromised: false }, by);
  t.ok(held().includes(pending));
  device.state.plugged = false;
  const next = keyNode(options).signingKeys;
  await next.tend();
  t.match(next.leftovers(), [{ kid: null, leftover: 'not_searched', error: 'CKR_DEVICE_REMOVED' }]);
  device.state.plugged = true;
  for (const node of [next, signingKeys]) {
    await node.tend();
    t.same(node.leftovers(), []);
  }
  t.same(held(), live());
});

t.test('a key that the store has never heard of is told of when it is still there, and left alone', async (t) => {
  const { signingKeys, device, options } = await settled();
  const kid = await device.leave();
  const next = keyNode(options).signingKeys;
  await next.tend();
  t.same(next.leftovers(), [], 'another node may be about to store it');
  await next.tend();
  t.same(next.leftovers(), [{ kid, leftover: 'unknown' }]);
  await next.tend();
  await signingKeys.rotate(by);
  await next.tend();
  t.ok(device.keys.has(kid));
  device.keys.delete(kid);
  await signingKeys.revoke(
    (await next.list()).find(({ state }) => state === 'pending')?.kid ?? '',
    { compromised: false },
    by,
  );
  await next.tend();
  t.same(next.leftovers(), []);
});

t.test('a device that is not asked for anything new is not searched again', async (t) => {
  const { signingKeys, device } = await settled();
  await signingKeys.tend();
  let searches = 0;
  const { held } = device.signer;
  device.signer.held = () => {
    searches++;
    return held();
  };
  for (let n = 0; n < 3; n++) await signingKeys.tend();
  t.equal(searches, 0);
});

t.test('of the keys that several nodes make at the same moment those that lose are destroyed', async (t) => {
  const { signingKeys, options, held, live, kidIn } = await settled();
  const nodes = Array.from({ length: 4 }, () => keyNode(options).signingKeys);
  await keyNode({ ...options, signer: severalSigners(nodeTokenSigner) }).signingKeys.revoke(
    kidIn('pending'),
    { compromised: false },
    by,
  );
  await Promise.all(nodes.map((node) => node.tend()));
  await signingKeys.tend();
  t.equal(live().length, 2);
  t.same(held(), live());
});

t.test('a key is kept when nobody knows whether it was stored', async (t) => {
  const { signingKeys, memory, held, kidIn, live } = await settled();
  const { change } = memory.store;
  memory.store.change = async (...args) => {
    await change(...args);
    throw new Error('connection lost');
  };
  // The answer is lost twice: when the pending key is revoked, and when its successor is published.
  await t.rejects(signingKeys.revoke(kidIn('pending'), { compromised: false }, by), { message: 'connection lost' });
  await t.rejects(signingKeys.tend(), { message: 'connection lost' });
  memory.store.change = change;
  await signingKeys.tend();
  t.equal(live().length, 2);
  t.same(held(), live());
});

t.test('a node that has not heard of a rotation signs with the new key when the old one is gone', async (t) => {
  const { signingKeys, options, kidIn } = await settled();
  const late = keyNode(options).ring;
  await late.load();
  const { issue } = createAccessTokenIssuer('https://issuer.example', late);
  const content = { sub: 'a', aud: 'b', iat: 0, ttl: 1, jti: 'c', clientId: 'd', scope: '' };
  const signer = async () => decodeProtectedHeader(await issue(content)).kid;
  const before = kidIn('active');
  t.equal(await signer(), before);
  await signingKeys.rotate(by);
  t.equal(late.signingKey().kid, before, 'its view is the old one');
  t.equal(await signer(), kidIn('active'));
});

t.test('no key is made while the device is away, and nobody is given one of the process instead', async (t) => {
  const { ring, signingKeys, memory, device, options, kidIn } = await settled();
  device.state.plugged = false;
  const rows = [...memory.rows];
  await signingKeys.tend();
  await keyNode(options).signingKeys.tend();
  await t.rejects(signingKeys.rotate(by), {
    code: 'key_unusable',
    detail: /give this process the KEYS_DIR and the PKCS11/,
  });
  t.same(memory.rows, rows);
  await t.rejects(ring.signingKey().handle.sign(Buffer.from('x')));
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
  device.state.plugged = true;
  t.equal((await signingKeys.list())[0]?.kid, kidIn('active'));
});

t.test('a command without the device lets the key that verifiers know sign, and makes none', async (t) => {
  const { ring, options, kidIn } = await settled();
  const [leaked, pending] = [kidIn('active'), kidIn('pending')];
  const withoutDevice = keyNode({ ...options, signer: severalSigners(nodeTokenSigner) }).signingKeys;
  const { after } = await withoutDevice.revoke(leaked, { compromised: true }, by);
  t.match(after, [
    { kid: leaked, state: 'revoked' },
    { kid: pending, state: 'active' },
  ]);
  t.equal(after.length, 2);
  await ring.load();
  t.equal(ring.signingKey().kid, pending);
});

t.test('an emergency is answered while the device takes its time, and what is left to do goes on', async (t) => {
  const { ring, signingKeys, device, memory, kidIn } = await settled();
  const [leaked, pending] = [kidIn('active'), kidIn('pending')];
  const { generate } = device.signer;
  let finish = () => {};
  const slow = new Promise<void>((resolve) => {
    finish = resolve;
  });
  device.signer.generate = async (alg) => {
    await slow;
    return generate(alg);
  };
  const { outcome, after } = await signingKeys.revoke(leaked, { compromised: true }, by);
  t.equal(outcome, 'done');
  t.match(after, [
    { kid: leaked, state: 'revoked' },
    { kid: pending, state: 'active' },
  ]);
  t.equal(ring.signingKey().kid, pending);
  finish();
  await signingKeys.settled();
  t.ok(memory.rows.some(({ state }) => state === 'pending'));
});

t.test('a leaked key is revoked though no other one can be made, and one signs when one can', async (t) => {
  const { ring, signingKeys, device, memory, kidIn } = await settled();
  await signingKeys.revoke(kidIn('pending'), { compromised: false }, by);
  memory.rows.splice(
    memory.rows.findIndex(({ state }) => state === 'pending'),
    1,
  );
  device.state.plugged = false;
  const { outcome, after } = await signingKeys.revoke(kidIn('active'), { compromised: true }, by);
  t.equal(outcome, 'done');
  t.notOk(after.some(({ state }) => state === 'active' || state === 'pending'));
  t.throws(() => ring.signingKey(), { code: 'signing_key_unavailable' });
  device.state.plugged = true;
  await signingKeys.tend();
  t.equal(ring.signingKey().kid, kidIn('active'), 'at once: no verifier has another one');
});
