import t from 'tap';
import { within } from '../../src/adapters/system/within.js';
import { Refusal } from '../../src/domain/errors.js';
import type { KeyRing } from '../../src/domain/key-ring.js';
import { createReadiness } from '../../src/domain/readiness.js';
import { instant } from '../../src/domain/types.js';
import { fakeClock } from '../support/clock.js';

const clock = fakeClock();
const never = () => new Promise<never>(() => {});
const refuses = () => Promise.reject(new Error('unreachable'));

interface World {
  database?: () => Promise<ReturnType<typeof instant>>;
  redis?: () => Promise<void>;
  canTell?: () => Promise<boolean>;
  keys?: Partial<KeyRing>;
}

function readiness({
  database = async () => clock.now(),
  redis = async () => {},
  canTell = async () => true,
  keys = {},
}: World) {
  const announcements = { announce: async () => {}, listen: () => {}, ping: redis };
  const ring = { signingKey: () => ({}), problems: () => [], ...keys } as unknown as KeyRing;
  // A probe that would wait two seconds waits ten milliseconds here.
  const soon: typeof within = (_ms, work) => within(10, work);
  return createReadiness({ now: database }, announcements, { canTell }, ring, clock, soon).missing();
}

t.test('nothing is missing where everything answers', async (t) => {
  t.same(await readiness({}), []);
});

t.test('what does not answer is missing, whether it refuses or hangs', async (t) => {
  for (const broken of [refuses, never]) {
    t.same(await readiness({ database: broken }), ['database']);
    t.same(await readiness({ redis: broken }), ['redis']);
    t.same(await readiness({ database: broken, redis: broken }), ['database', 'redis']);
  }
});

t.test('a Redis whose projection has to be rebuilt is missing, or does not say', async (t) => {
  t.same(await readiness({ canTell: async () => false }), ['redis']);
  for (const broken of [refuses, never]) t.same(await readiness({ canTell: broken }), ['redis']);
});

t.test('a clock more than five seconds away from the database’s is missing', async (t) => {
  for (const [ms, missing] of [
    [5000, []],
    [-5000, []],
    [5001, ['clock']],
    [-5001, ['clock']],
  ] as const) {
    t.same(await readiness({ database: async () => instant(clock.now() + ms) }), missing, `${ms} ms`);
  }
});

t.test('a node that may not sign, or cannot open a key, is not ready', async (t) => {
  const signingKey = () => {
    throw new Refusal('signing_key_unavailable');
  };
  t.same(await readiness({ keys: { signingKey } }), ['signing_key']);
  t.same(await readiness({ keys: { problems: () => [{ kid: 'k', kekId: 'a', problem: 'kek_missing' }] } }), [
    'signing_key',
  ]);
});
