/** The table of docs/keys.md: every state, everything that can happen to it, before and after each wait. */
import t from 'tap';
import {
  adopt,
  type Change,
  type CycleSettings,
  type Decision,
  due,
  type KeySet,
  lacksPending,
  NEEDS_KEY,
  nextOf,
  plan,
  promote,
  publish,
  revoke,
  rotate,
} from '../../src/domain/key-cycle.js';
import type { SealedKey } from '../../src/domain/key-vault.js';
import { instant, later, type SigningAlg } from '../../src/domain/types.js';
import type { SigningKeyRow, SigningKeyState } from '../../src/ports/signing-key-store.js';

const DAY_S = 86_400;
const NOW = instant(Date.UTC(2026, 2, 1, 12));
const settings: CycleSettings = { alg: 'RS256', rotationDays: 30, maxAge: 300 };
/** Two M. */
const SEEN_S = 600;

/** `pending 599`: published that many seconds ago; likewise active and retiring, since they are so. */
function key(text: string, more: Partial<SigningKeyRow> = {}): SigningKeyRow {
  const [state, age = '0', kid = state] = text.split(' ') as [SigningKeyState, string?, string?];
  const at = later(NOW, -Number(age));
  const isPrivate = state === 'pending' || state === 'active';
  return {
    kid,
    alg: 'RS256',
    state,
    publicJwk: { kty: 'RSA' },
    sealedPrivate: isPrivate ? new Uint8Array([1]) : null,
    kekId: isPrivate ? 'kek' : null,
    createdAt: at,
    publishedAt: at,
    activatedAt: state === 'pending' ? null : at,
    retiringAt: state === 'retiring' || state === 'retired' ? at : null,
    retiredAt: state === 'retired' ? at : null,
    revokedAt: state === 'revoked' ? at : null,
    promoteAt: null,
    longestTokenTtl: state === 'pending' ? 0 : 900,
    ...more,
  };
}

const setOf = (keys: SigningKeyRow[], more: Partial<KeySet> = {}): KeySet => ({
  keys,
  unusable: new Set(),
  longestTokenTtl: 900,
  now: NOW,
  ...more,
});

const fresh: SealedKey = {
  kid: 'fresh',
  alg: 'RS256',
  publicJwk: { kty: 'RSA' },
  sealedPrivate: new Uint8Array([2]),
  kekId: 'kek',
};

/** `active→retiring pending→active`: what is stored, in its order. */
function moves(set: KeySet, change: Change): string {
  const before = new Map(set.keys.map(({ kid, state }) => [kid, state]));
  return change.put.map(({ kid, state }) => `${kid}:${before.get(kid) ?? 'none'}→${state}`).join(' ');
}

const decided = (decision: Decision | typeof NEEDS_KEY): Decision => {
  if (decision === NEEDS_KEY) throw new Error('a key is needed');
  return decision;
};

t.test('what is due by itself', async (t) => {
  const asked = { promoteAt: later(NOW, -10) };
  for (const [name, keys, expected, more = {}] of [
    ['nothing while all is young', ['active 100', 'pending 100'], ''],
    ['no rotation a second before its day', [`active ${30 * DAY_S - 1}`, 'pending 9999'], ''],
    [
      'a rotation on its day',
      [`active ${30 * DAY_S}`, 'pending 9999'],
      'active:active→retiring pending:pending→active',
    ],
    ['none before the pending key was seen', [`active ${30 * DAY_S}`, `pending ${SEEN_S - 1}`], ''],
    [
      'as soon as it was',
      [`active ${31 * DAY_S}`, `pending ${SEEN_S}`],
      'active:active→retiring pending:pending→active',
    ],
    ['none where it is turned off', [`active ${999 * DAY_S}`, 'pending 9999'], '', { rotationDays: 0 }],
    [
      'one that was asked for, once seen',
      ['active 9', `pending ${SEEN_S}`],
      'active:active→retiring pending:pending→active',
      { asked },
    ],
    ['not before that', ['active 9', `pending ${SEEN_S - 1}`], '', { asked }],
    [
      'also where the schedule is off',
      ['active 9', `pending ${SEEN_S}`],
      'active:active→retiring pending:pending→active',
      { asked, rotationDays: 0 },
    ],
    ['a retiring key stays until 2 M + L + 60 s', ['active 9', 'pending 9', 'retiring 1559'], ''],
    ['and is retired then', ['active 9', 'pending 9', 'retiring 1560'], 'retiring:retiring→retired'],
    ['a pending key where nothing signs', ['pending 600', 'retired 9999'], 'pending:pending→active'],
    ['not before it was seen', ['pending 599', 'revoked 9999'], ''],
    [
      'retired and revoked keys stay as they are',
      ['active 9', 'pending 9', 'retired 99999999', 'revoked 99999999'],
      '',
    ],
  ] as [string, string[], string, { asked?: object; rotationDays?: number }?][]) {
    const { asked, ...change } = more;
    const set = setOf(keys.map((text) => key(text, text.startsWith('pending') ? asked : {})));
    t.equal(moves(set, due(set, NOW, { ...settings, ...change })), expected, name);
  }
});

t.test('of several pending keys the longest published is the next, unless another was asked for', async (t) => {
  const keys = [key('active 9'), key('pending 700 young'), key('pending 800 old')];
  t.equal(plan(setOf(keys), settings)?.key.kid, 'old');
  const young = { ...key('pending 700 young'), promoteAt: NOW };
  t.equal(plan(setOf([key('active 9'), young, key('pending 800 old')]), settings)?.key.kid, 'young');
});

t.test(
  'a promotion destroys the private part of the key it replaces, and notes how long its tokens live',
  async (t) => {
    const set = setOf([key(`active ${30 * DAY_S}`), key('pending 700', { promoteAt: NOW })], { longestTokenTtl: 3600 });
    const { put, events } = due(set, NOW, settings);
    t.match(put, [
      { state: 'retiring', retiringAt: NOW, sealedPrivate: null, kekId: null, longestTokenTtl: 3600 },
      { state: 'active', activatedAt: NOW, promoteAt: null, sealedPrivate: new Uint8Array([1]), kekId: 'kek' },
    ]);
    t.match(events, [{ event: 'signing_key.promoted', kid: 'pending', details: { replaces: ['active'] } }]);
  },
);

t.test('a key is published as long as the longest token that it can have signed', async (t) => {
  const active = key('active 9', { longestTokenTtl: 0 });
  const raised = due(setOf([active, key('pending 9')], { longestTokenTtl: 7200 }), NOW, settings).put;
  t.match(raised, [{ kid: 'active', state: 'active', longestTokenTtl: 7200 }], 'noted while it signs');
  const lowered = setOf([...raised, key('pending 9')], { longestTokenTtl: 60 });
  t.same(due(lowered, NOW, settings).put, [], 'and kept when clients are given less');

  const retiring = key('retiring 600');
  t.match(
    due(setOf([key('active 9'), key('pending 9'), retiring], { longestTokenTtl: 1000 }), NOW, settings).put,
    [{ kid: 'active' }, { kid: 'retiring', longestTokenTtl: 1000 }],
    'a node that has not heard yet may still sign with it',
  );
  t.match(
    due(setOf([key('active 9'), key('pending 9'), key('retiring 601')], { longestTokenTtl: 1000 }), NOW, settings).put,
    [{ kid: 'active' }],
    'and then no longer',
  );
});

t.test('another algorithm is a rotation like any other', async (t) => {
  const to = { ...settings, alg: 'ES256' as SigningAlg };
  const keys = [key('active 9'), key('pending 9999')];
  t.ok(lacksPending(setOf(keys), to));
  t.equal(plan(setOf(keys), to), null, 'nothing happens without a key of it');
  for (const [age, expected] of [
    [SEEN_S - 1, ''],
    [SEEN_S, 'active:active→retiring es:pending→active'],
  ] as const) {
    const set = setOf([...keys, key(`pending ${age} es`, { alg: 'ES256' })]);
    t.notOk(lacksPending(set, to));
    t.equal(moves(set, due(set, NOW, to)), expected);
  }
});

t.test('a pending key is always kept ready', async (t) => {
  t.ok(lacksPending(setOf([key('active')]), settings));
  t.ok(lacksPending(setOf([key('active'), key('retiring'), key('retired'), key('revoked')]), settings));
  t.notOk(lacksPending(setOf([key('active'), key('pending')]), settings));
});

t.test('nothing that nobody asked for happens in place of a key that cannot be opened', async (t) => {
  const keys = [key(`active ${99 * DAY_S}`), key('pending 9999'), key('retiring 9999')];
  for (const kid of ['active', 'pending']) {
    const set = setOf(keys, { unusable: new Set([kid]) });
    t.equal(moves(set, due(set, NOW, settings)), 'retiring:retiring→retired', `${kid} cannot be opened`);
    t.notOk(lacksPending(setOf([key('active')], { unusable: new Set(['active']) }), settings));
  }
  const asked = setOf([key('active 9'), key('pending 9999', { promoteAt: NOW })], { unusable: new Set(['active']) });
  t.equal(
    moves(asked, due(asked, NOW, settings)),
    'active:active→retiring pending:pending→active',
    'what was asked does',
  );
});

t.test('rotate', async (t) => {
  for (const [name, keys, outcome, expected, inSeconds] of [
    [
      'is done where the pending key was seen',
      ['active 9', `pending ${SEEN_S}`],
      'done',
      'active:active→retiring pending:pending→active',
      0,
    ],
    ['waits where it was not', ['active 9', 'pending 100'], 'scheduled', 'pending:pending→pending', 500],
    ['makes a key where there is none', ['active 9'], 'scheduled', 'fresh:none→pending', SEEN_S],
    ['is done already where another one was first', ['active 599', 'retiring 599', 'pending 599'], 'already', '', -599],
    [
      'is a new one after that',
      ['active 600', 'retiring 600', 'pending 600'],
      'done',
      'active:active→retiring pending:pending→active',
      0,
    ],
  ] as [string, string[], string, string, number][]) {
    const set = setOf(keys.map((text) => key(text)));
    const decision = decided(rotate(set, NOW, settings, fresh));
    t.match(decision, { outcome, at: later(NOW, inSeconds) }, name);
    t.equal(moves(set, decision), expected, name);
  }
  const waiting = setOf([key('active 9'), key('pending 100', { promoteAt: NOW })]);
  t.match(
    rotate(waiting, NOW, settings, null),
    { outcome: 'already', at: later(NOW, 500), put: [] },
    'is asked for once',
  );
  t.match(rotate(setOf([key('active 9'), key('pending 100')]), NOW, settings, null), {
    put: [{ promoteAt: NOW, state: 'pending' }],
    events: [{ event: 'signing_key.rotation_scheduled' }],
  });
  t.equal(rotate(setOf([key('active 9')]), NOW, settings, null), NEEDS_KEY);
  for (const kid of ['active', 'pending']) {
    const closed = setOf([key('active 9'), key('pending 9999')], { unusable: new Set([kid]) });
    t.throws(() => rotate(closed, NOW, settings, fresh), {
      code: 'key_unusable',
      detail: new RegExp(`${kid} .* kek:`),
    });
  }
});

t.test('promote', async (t) => {
  const set = setOf(
    [
      key('active 9'),
      key('pending 600 seen'),
      key('pending 599 young'),
      key('pending 9999 es', { alg: 'ES256' }),
      key('retiring'),
      key('retired'),
      key('revoked'),
      key('pending 9999 lost'),
    ],
    { unusable: new Set(['lost']) },
  );
  t.equal(moves(set, promote(set, 'seen', NOW, settings)), 'active:active→retiring seen:pending→active');
  t.match(promote(set, 'young', NOW, settings), { outcome: 'scheduled', at: later(NOW, 1), put: [{ promoteAt: NOW }] });
  t.match(promote(set, 'active', NOW, settings), { outcome: 'already', put: [] });
  for (const [kid, code] of [
    ['none', 'key_not_found'],
    ['retiring', 'key_state_conflict'],
    ['retired', 'key_state_conflict'],
    ['revoked', 'key_state_conflict'],
    ['es', 'key_state_conflict'],
    ['lost', 'key_unusable'],
  ] as const) {
    t.throws(() => promote(set, kid, NOW, settings), { code }, kid);
  }
});

t.test('revoke', async (t) => {
  const keys = [key('active 9'), key('pending 100'), key('retiring 100'), key('retired 100'), key('revoked 100')];
  const set = setOf(keys);
  for (const [kid, compromised, outcome, expected, inSeconds] of [
    ['pending', false, 'done', 'pending:pending→revoked', 0],
    ['pending', true, 'done', 'pending:pending→revoked', 0],
    ['active', true, 'done', 'active:active→revoked pending:pending→active', 0],
    ['retiring', true, 'done', 'retiring:retiring→revoked', 0],
    ['retiring', false, 'scheduled', '', 1460],
    ['retired', true, 'already', '', -100],
    ['revoked', true, 'already', '', -100],
  ] as const) {
    const decision = revoke(set, kid, compromised, NOW, settings);
    t.match(decision, { outcome, at: later(NOW, inSeconds) }, kid);
    t.equal(moves(set, decision), expected, kid);
    for (const row of decision.put.filter(({ state }) => state === 'revoked'))
      t.match(row, { sealedPrivate: null, kekId: null, revokedAt: NOW }, kid);
  }
  t.throws(() => revoke(set, 'active', false, NOW, settings), { code: 'key_state_conflict' });
  t.throws(() => revoke(set, 'none', true, NOW, settings), { code: 'key_not_found' });

  const alone = setOf([key('active 9')]);
  t.equal(
    moves(alone, revoke(alone, 'active', true, NOW, settings)),
    'active:active→revoked',
    'waits for no successor',
  );

  const several = [key('active 9'), key('pending 9999 closed'), key('pending 100 young'), key('pending 200 old')];
  for (const [unusable, successor] of [
    [[], 'closed'],
    [['closed'], 'old'],
    [['closed', 'young', 'old'], 'closed'],
  ] as const) {
    const set = setOf(several, { unusable: new Set(unusable) });
    t.equal(
      moves(set, revoke(set, 'active', true, NOW, settings)),
      `active:active→revoked ${successor}:pending→active`,
      `without ${unusable.join(', ') || 'any fault'}`,
    );
  }
});

t.test('a key that is made where nothing signs does so at once', async (t) => {
  for (const [keys, expected] of [
    [['active 9'], 'fresh:none→pending'],
    [['revoked 9', 'retiring 9'], 'fresh:none→active'],
  ] as const) {
    const set = setOf(keys.map((text) => key(text)));
    t.equal(moves(set, publish(set, fresh, NOW)), expected);
  }
});

t.test('adopt', async (t) => {
  const set = setOf([key('active'), key('pending'), key('retiring'), key('retired'), key('revoked')]);
  t.match(adopt(set, fresh, NOW), {
    outcome: 'done',
    put: [{ kid: 'fresh', state: 'pending', publishedAt: NOW }],
    events: [{ event: 'signing_key.imported' }],
  });
  for (const kid of ['active', 'pending']) t.match(adopt(set, { ...fresh, kid }, NOW), { outcome: 'already', put: [] });
  for (const kid of ['retiring', 'retired', 'revoked'])
    t.throws(() => adopt(set, { ...fresh, kid }, NOW), { code: 'key_state_conflict' }, kid);
  const closed = setOf([key('active')], { unusable: new Set(['active']) });
  t.throws(() => adopt(closed, fresh, NOW), { code: 'key_unusable' });
});

t.test('what comes next is told of every key', async (t) => {
  const set = setOf([
    key('active 86400'),
    key('pending 9 next'),
    key('pending 8 other'),
    key('retiring 60'),
    key('retired'),
    key('revoked'),
  ]);
  t.same(
    set.keys.map((one) => nextOf(one, set, settings)),
    [
      { state: 'retiring', at: later(NOW, 29 * DAY_S) },
      { state: 'active', at: later(NOW, 29 * DAY_S) },
      null,
      { state: 'retired', at: later(NOW, 1500) },
      null,
      null,
    ],
  );
  t.equal(nextOf(key('active 86400'), set, { ...settings, rotationDays: 0 }), null);
});
