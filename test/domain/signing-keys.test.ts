import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Database } from '../../src/adapters/postgres/database.js';
import { createSigningKeyStore } from '../../src/adapters/postgres/signing-key-store.js';
import { Refusal } from '../../src/domain/errors.js';
import { type KeyOperation, keyJson } from '../../src/domain/signing-keys.js';
import type { By } from '../../src/domain/types.js';
import { later } from '../../src/domain/types.js';
import { fakeClock } from '../support/clock.js';
import { onEachDatabase } from '../support/databases.js';
import { rowOf, rowsOf } from '../support/service.js';
import { type KeyNodeOptions, keyNode, memoryKeyStore, severalKeks } from '../support/signing-keys.js';

const by: By = {
  actor: 'user:ops',
  userId: null,
  caller: { ip: '192.0.2.1', place: null, userAgent: 'cli', requestId: 'r1' },
};
const SEEN_S = 600;
const DAY_S = 86_400;

const statesOf = (keys: KeyOperation['after']) => keys.map(({ state }) => state);

/** A node that has been running for an hour: one key signs, one is pending. */
async function settled(options: Partial<KeyNodeOptions> = {}) {
  const clock = fakeClock();
  const memory = memoryKeyStore(clock);
  const keks = severalKeks('a');
  const node = keyNode({ store: memory.store, clock, keks, ...options });
  await node.ring.load();
  await node.signingKeys.tend();
  clock.advance(3600);
  await node.ring.load();
  return { ...node, memory, clock, keks };
}

t.test('the first look makes a key that signs and one that is pending', async (t) => {
  const { memory, signingKeys } = await settled();
  t.same(statesOf(await signingKeys.list()), ['active', 'pending']);
  t.same(await signingKeys.tend(), [], 'and nothing more is due');
  t.match(
    memory.events.map(({ event, actor }) => [event, actor]),
    [
      ['signing_key.created', 'service'],
      ['signing_key.created', 'service'],
    ],
  );
});

t.test('a change that the other nodes could not be told of is made all the same, and says so', async (t) => {
  const silent = {
    announce: () => Promise.reject(new Error('Redis is away')),
    listen() {},
    ping: async () => {},
  };
  const { signingKeys, ring } = await settled({ announcements: silent });
  const pending = (await signingKeys.list()).find(({ state }) => state === 'pending');
  t.match(await signingKeys.rotate(by), { outcome: 'done', announced: false });
  t.equal(ring.signingKey().kid, pending?.kid);
});

t.test('a change is told of though the store is away right after it', async (t) => {
  const { memory, signingKeys } = await settled();
  const { change, keySet } = memory.store;
  memory.store.change = async (...args) => {
    const done = await change(...args);
    memory.store.keySet = () => Promise.reject(new Refusal('store_unavailable'));
    return done;
  };
  const { outcome, after } = await signingKeys.rotate(by);
  t.equal(outcome, 'done');
  t.same(statesOf(after).sort(), ['active', 'retiring']);
  Object.assign(memory.store, { change, keySet });
  t.same(statesOf(await signingKeys.list()).sort(), ['active', 'retiring']);
});

t.test('a rotation signs with the pending key at once, makes another one, and says who asked', async (t) => {
  const { memory, ring, signingKeys, clock } = await settled();
  const [active, pending] = await signingKeys.list();
  const { before, after, outcome, at } = await signingKeys.rotate(by);
  t.same([outcome, at], ['done', clock.now()]);
  t.same(before, [active, pending]);
  t.same(statesOf(after), ['retiring', 'active', 'pending']);
  t.equal(ring.signingKey().kid, pending?.kid, 'this node follows at once');
  t.match(
    memory.events.filter(({ event }) => event === 'signing_key.promoted'),
    [{ ...by.caller, actor: 'user:ops', details: { kid: pending?.kid, replaces: [active?.kid] } }],
  );
  t.equal(memory.rows[0]?.sealedPrivate, null, 'the private part is destroyed');
});

t.test('a node whose clock is wrong goes by the store’s, like all others', async (t) => {
  const clock = fakeClock();
  const memory = memoryKeyStore(clock);
  const keks = severalKeks('a');
  const ahead = keyNode({ store: memory.store, clock: fakeClock(clock.now() + 99 * DAY_S * 1000), keks });
  await ahead.signingKeys.tend();
  t.match(memory.rows, [{ publishedAt: clock.now() }, { publishedAt: clock.now() }]);
  t.same(await ahead.signingKeys.tend(), []);
  t.match(await ahead.signingKeys.rotate(by), { outcome: 'scheduled', at: later(clock.now(), SEEN_S) });
  clock.advance(SEEN_S - 1);
  t.same(await ahead.signingKeys.tend(), []);
  clock.advance(1);
  const { kid } = memory.rows[1] ?? {};
  t.match(await ahead.signingKeys.tend(), [{ event: 'signing_key.promoted', kid }, {}]);
  t.match(await ahead.signingKeys.tend(), [], 'and what has just retired is published as long as by any other clock');
});

t.test('a rotation that has to wait happens by itself', async (t) => {
  const { signingKeys, clock } = await settled();
  await signingKeys.rotate(by);
  clock.advance(SEEN_S - 1);
  const pending = (await signingKeys.list()).find(({ state }) => state === 'pending');
  const { outcome, at, after } = await signingKeys.promote(pending?.kid ?? '', by);
  t.same([outcome, at], ['scheduled', later(clock.now(), 1)]);
  t.same(after.find(({ kid }) => kid === pending?.kid)?.next, { state: 'active', at: later(clock.now(), 1) });
  t.same(await signingKeys.tend(), []);
  clock.advance(1);
  t.match(await signingKeys.tend(), [
    { event: 'signing_key.promoted', kid: pending?.kid },
    { event: 'signing_key.created' },
  ]);
});

t.test('the form in which a key is shown has no private part', async (t) => {
  const { signingKeys, clock } = await settled();
  const [first] = (await signingKeys.rotate(by)).after;
  if (first === undefined) throw new Error('no key');
  const at = new Date(clock.now()).toISOString();
  t.strictSame(keyJson(first), {
    kid: first.kid,
    alg: 'EdDSA',
    state: 'retiring',
    kek: null,
    created_at: '2026-03-01T12:00:00.250Z',
    published_at: '2026-03-01T12:00:00.250Z',
    activated_at: '2026-03-01T12:00:00.250Z',
    retiring_at: at,
    retired_at: null,
    next: { state: 'retired', at: new Date(later(clock.now(), 600 + 900 + 60)).toISOString() },
  });
});

t.test('a compromised key is gone at once, and one that verifiers know takes its place', async (t) => {
  const { ring, signingKeys, memory } = await settled();
  const [active, pending] = await signingKeys.list();
  const { outcome, after } = await signingKeys.revoke(active?.kid ?? '', { compromised: true }, by);
  t.equal(outcome, 'done');
  t.same(statesOf(after), ['revoked', 'active', 'pending']);
  t.equal(ring.signingKey().kid, pending?.kid);
  t.equal(await ring.find(active?.kid ?? ''), null);
  t.match(memory.rows[0], { sealedPrivate: null, kekId: null });
  const again = await signingKeys.revoke(active?.kid ?? '', { compromised: true }, by);
  t.equal(again.outcome, 'already');
});

t.test('two emergencies within a minute leave a node that signs', async (t) => {
  const { ring, signingKeys } = await settled();
  for (let n = 0; n < 2; n++) await signingKeys.revoke(ring.signingKey().kid, { compromised: true }, by);
  t.same(statesOf(await signingKeys.list()), ['revoked', 'revoked', 'active', 'pending']);
  const [pending] = (await signingKeys.list()).filter(({ state }) => state === 'pending');
  await signingKeys.revoke(pending?.kid ?? '', { compromised: false }, by);
  t.same(statesOf(await signingKeys.list()), ['revoked', 'revoked', 'active', 'revoked', 'pending']);
});

t.test('a change of algorithm is a rotation, with both published meanwhile', async (t) => {
  const { memory, clock, keks } = await settled();
  const { ring, signingKeys } = keyNode({ store: memory.store, clock, keks, alg: 'ES256' });
  await signingKeys.tend();
  await ring.load();
  t.equal(ring.signingKey().alg, 'EdDSA');
  t.same(new Set(ring.published().map(({ alg }) => alg)), new Set(['EdDSA', 'ES256']));
  clock.advance(SEEN_S);
  await signingKeys.tend();
  t.equal(ring.signingKey().alg, 'ES256');
  t.same(new Set(ring.published().map(({ alg }) => alg)), new Set(['EdDSA', 'ES256']));
});

t.test('a key that was made elsewhere is published, and signs when it is promoted', async (t) => {
  const { ring, signingKeys, clock } = await settled();
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { kid, outcome } = await signingKeys.import(pem, null, by);
  t.equal(outcome, 'done');
  t.ok(await ring.find(kid));
  t.equal((await signingKeys.import(pem, null, by)).outcome, 'already');
  t.equal((await signingKeys.promote(kid, by)).outcome, 'scheduled');
  clock.advance(SEEN_S);
  await signingKeys.tend();
  t.equal(ring.signingKey().kid, kid);
  await signingKeys.revoke(kid, { compromised: true }, by);
  await t.rejects(
    signingKeys.import(pem, null, by),
    { code: 'key_state_conflict' },
    'a revoked key does not come back',
  );
});

t.test('what cannot sign is not imported, and not quoted', async (t) => {
  const { signingKeys } = await settled();
  const pemOf = (key: ReturnType<typeof generateKeyPairSync>['privateKey']) =>
    key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const ed = generateKeyPairSync('ed25519');
  const p384 = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey);
  const short = pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey);
  const halfOf = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const mixed = pemOf(createPrivateKey({ key: { ...halfOf(), d: halfOf().d ?? '' }, format: 'jwk' }));
  const secret = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  for (const [name, pem, alg] of [
    ['nothing', '', null],
    ['prose', 'hunter2', null],
    ['a public key', ed.publicKey.export({ type: 'spki', format: 'pem' }).toString(), null],
    ['an encrypted key', ed.privateKey.export(secret).toString(), null],
    ['a key for another algorithm', pemOf(ed.privateKey), 'ES256'],
    ['another curve', p384, 'ES256'],
    ['a short RSA key', short, 'RS256'],
    ['the halves of two keys', mixed, 'ES256'],
  ] as const) {
    const error = await signingKeys.import(pem, alg, by).catch((error: unknown) => error);
    t.match(error, { code: 'key_rejected' }, name);
    if (pem !== '') t.notMatch(JSON.stringify(error), pem.split('\n')[1] ?? pem, name);
  }
  t.same(statesOf(await signingKeys.list()), ['active', 'pending']);
});

t.test('rewrap', async (t) => {
  const { memory, ring, signingKeys, clock, keks } = await settled();
  t.equal((await signingKeys.rewrap(by)).outcome, 'already', 'has nothing to do under one KEK');
  keks.put('b');
  const { outcome, after } = await signingKeys.rewrap(by);
  t.equal(outcome, 'done');
  t.same(
    after.map(({ kekId }) => kekId),
    ['b', 'b'],
  );
  t.match(
    memory.events.filter(({ event }) => event === 'signing_key.rewrapped'),
    [{ actor: 'user:ops', details: { from: 'a', to: 'b' } }, { details: { from: 'a', to: 'b' } }],
  );
  t.same(ring.problems(), []);
  keks.remove('a');
  const restarted = keyNode({ store: memory.store, clock, keks });
  await restarted.ring.load();
  t.same(restarted.ring.problems(), [], 'the old KEK can go');
  t.equal(restarted.ring.signingKey().kid, ring.signingKey().kid);
});

t.test('a KEK that was removed before the rewrap is named, and nothing is changed or made', async (t) => {
  const { memory, clock, keks } = await settled();
  keks.put('b');
  keks.remove('a');
  const before = [...memory.rows];
  const { ring, signingKeys } = keyNode({ store: memory.store, clock, keks });
  await ring.load();
  await t.rejects(signingKeys.rewrap(by), { code: 'key_unusable', detail: /KEK a \(kek_missing\)/ });
  t.same(await signingKeys.tend(), []);
  clock.advance(99 * DAY_S);
  t.same(await signingKeys.tend(), [], 'not even when a rotation would be due');
  t.same(memory.rows, before);
  t.equal(ring.problems().length, 2);

  await signingKeys.revoke(before[0]?.kid ?? '', { compromised: true }, by);
  await signingKeys.revoke(before[1]?.kid ?? '', { compromised: true }, by);
  t.same(
    statesOf(await signingKeys.list()),
    ['revoked', 'revoked', 'active', 'pending'],
    'until somebody gives them up',
  );
  t.same(ring.problems(), []);
  t.ok(ring.signingKey());
});

async function concurrently(t: Test, database: Database): Promise<void> {
  const clock = fakeClock();
  const keks = severalKeks('a');
  const health = { now: async () => clock.now() };
  const nodes = Array.from({ length: 10 }, () =>
    keyNode({ store: createSigningKeyStore(database, health), clock, keks }),
  );
  const [node] = nodes;
  if (node === undefined) throw new Error('no node');
  let before: unknown = 0;
  const count = async (event: string) =>
    (await rowsOf(database, 'audit_events', `event = 'signing_key.${event}' AND id > ${before}`)).length;
  const outcomes = (results: KeyOperation[]) => results.map(({ outcome }) => outcome).sort();
  // Keys of one moment are in no particular order.
  const states = async () => statesOf(await node.signingKeys.list()).sort();
  const nine = Array.from({ length: 9 }, () => 'already');
  t.beforeEach(async () => {
    before = (await rowOf(database, '(SELECT coalesce(max(id), 0) AS id FROM audit_events) AS last')).id;
  });

  t.test('ten nodes that start together make one key that signs and one that is pending', async (t) => {
    await Promise.all(nodes.map(({ signingKeys }) => signingKeys.tend()));
    t.same(await states(), ['active', 'pending']);
    t.equal(await count('created'), 2);
  });

  t.test('of ten rotations that have to wait one is stored, and all say until when', async (t) => {
    const results = await Promise.all(nodes.map(({ signingKeys }) => signingKeys.rotate(by)));
    t.same(outcomes(results), [...nine, 'scheduled']);
    t.same(new Set(results.map(({ at }) => at)), new Set([later(clock.now(), SEEN_S)]));
    t.equal(await count('rotation_scheduled'), 1);
  });

  t.test('ten nodes do it once when it is due', async (t) => {
    clock.advance(SEEN_S);
    await Promise.all(nodes.map(({ signingKeys }) => signingKeys.tend()));
    t.same(await states(), ['active', 'pending', 'retiring']);
    t.same([await count('promoted'), await count('created')], [1, 1]);
  });

  t.test('of ten rotations at one moment one wins, nine say so, and one key is active', async (t) => {
    clock.advance(SEEN_S);
    const results = await Promise.all(nodes.map(({ signingKeys }) => signingKeys.rotate(by)));
    t.same(outcomes(results), [...nine, 'done']);
    t.same(new Set(results.map(({ at }) => at)), new Set([clock.now()]));
    t.same(await states(), ['active', 'pending', 'retiring', 'retiring']);
    t.equal(await count('promoted'), 1);
    t.equal((await rowsOf(database, 'signing_keys', 'sealed_private IS NOT NULL')).length, 2, 'two private parts');
  });

  t.test('of ten emergencies on one key one wins', async (t) => {
    await node.ring.load();
    const { kid } = node.ring.signingKey();
    const revoke = { compromised: true };
    const results = await Promise.all(nodes.map(({ signingKeys }) => signingKeys.revoke(kid, revoke, by)));
    t.same(outcomes(results), [...nine, 'done']);
    t.same(await states(), ['active', 'pending', 'retiring', 'retiring', 'revoked']);
  });
}

t.test('several nodes at once', (t) => onEachDatabase(t, concurrently));
