/**
 * MODEL_SCHEDULES sets how many schedules are run. A failure is told step by step; MODEL_SEED runs the same ones again.
 */
import t from 'tap';
import { check } from './refresh-model/check.js';
import { mutations } from './refresh-model/mutations.js';
import { checkInThread } from './refresh-model/thread.js';

const schedules = Number(process.env.MODEL_SCHEDULES ?? 20_000);
const seed = process.env.MODEL_SEED === undefined ? {} : { seed: Number(process.env.MODEL_SEED) };
/**
 * Enough for each mutation, whatever the number of schedules for the right machine. Always the same ones: a broken rule may
 * break two invariants, and which is seen first is chance.
 */
const forMutations = { schedules: 20_000, seed: 1, ...seed };

/** In how many of a thousand schedules there must be what: far fewer than there are, so that chance does not matter. */
const MIN_OF_1000 = {
  rotated: 300,
  replayed: 30,
  concurrent: 30,
  refresh_superseded: 6,
  refresh_token_reused: 40,
  idempotency_key_reused: 15,
  session_expired: 30,
  session_revoked: 30,
  password_required: 30,
  invalid_refresh_token: 100,
  store_unavailable: 15,
  'two processes race with one token': 50,
  'a request is doubled': 80,
  'killed before its rotate': 20,
  'killed before its find': 6,
  'killed before its sign': 8,
  'an answer with tokens is lost': 5,
  'a theft is seen': 40,
  'logs out': 0.5,
};

t.test('generated schedules keep I1 to I5, I7 and I9', async (t) => {
  const report = await checkInThread({ schedules, ...seed });
  if (report.failure) return t.fail('a schedule breaks an invariant', { MODEL_SEED: report.seed, ...report.failure });
  t.equal(report.schedules, schedules);
  for (const [what, of1000] of Object.entries(MIN_OF_1000)) {
    const times = report.seen.get(what) ?? 0;
    t.ok(times >= Math.floor((schedules * of1000) / 1000), `${times} of ${schedules} schedules have: ${what}`);
  }
});

for (const mutation of mutations) {
  t.test(`the model notices: ${mutation.name}`, async (t) => {
    const { failure } = await check({ ...forMutations, mutation, shrink: false });
    t.equal(failure?.invariant, mutation.breaks);
  });
}

t.test('a failing schedule is told in the fewest steps that make it fail', async (t) => {
  const mutation = mutations.find(({ name }) => name === 'row 3: there is no replay');
  const { failure } = await check({ ...forMutations, ...(mutation && { mutation }) });
  const steps = failure?.steps ?? [];
  t.ok(steps.length <= 16, `it takes ${steps.length} lines`);
  t.match(steps[1], /^client \d sends request 1 with token \d\.0 and key \d\.1$/);
  t.ok(steps.some((step) => /^client \d sends request \d with token \d\.0 and key \d\.1$/.test(step)));
  t.equal(steps.at(-1), 'I3: the session of an honest client is ended');
});
