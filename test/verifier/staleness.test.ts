/** How old the verifier takes its view to be when the stream reaches it late. Time is moved by hand. */
import t, { type Test } from 'tap';
import { follow } from '../../src/verifier/follower.js';
import type { AccessTokenClaims } from '../../src/verifier/token.js';
import { revocation, soon, startFeed } from '../support/revocation-feed.js';
import { claimsAt, fakeWorld, NOW } from '../support/verifier.js';

/** It listens; `maxStaleness` is 10 s. */
async function listening(t: Test) {
  const feed = await startFeed(t);
  const world = fakeWorld(globalThis.fetch);
  feed.now = world.now;
  const problems: Error[] = [];
  const onProblem = (problem: Error) => problems.push(problem);
  const follower = follow({ baseUrl: feed.url, token: async () => 'token', maxStaleness: 10, onProblem }, world);
  t.teardown(() => follower.close());
  const knows = (jti: string) => follower.revokes({ ...claimsAt(NOW), jti } as unknown as AccessTokenClaims);
  let told = 0;
  async function hears(jti: string) {
    feed.publish(revocation('jti', jti, NOW));
    await soon(() => knows(jti) || problems.length > 0, 'it is read');
  }
  await soon(() => feed.open() === 1, 'the stream is open');
  await hears('first');
  return {
    feed,
    world,
    problems,
    follower,
    /** Lets so many seconds pass; then comes what was written so many seconds before. */
    async passes(seconds: number, late: number) {
      // Short of a silence.
      for (let left = seconds; left > 0; left -= 4) {
        world.advance(Math.min(left, 4));
        await hears(`told-${++told}`);
      }
      feed.now = () => world.now() - late * 1000;
      feed.beat();
      await hears(`told-${++told}`);
    },
  };
}

t.test('a stream that comes late is as old as what it says, and refuses when that is too old', async (t) => {
  const { follower, world, passes, problems } = await listening(t);
  await passes(20, 8);
  t.ok(follower.isCurrent());
  world.advance(2);
  t.ok(follower.isCurrent(), 'ten seconds old');
  world.advance(0.001);
  t.notOk(follower.isCurrent(), 'though it was heard two seconds ago');
  t.same(problems, []);
});

t.test('a stream that is too late is left for another one', async (t) => {
  const { feed, follower, world, passes, problems } = await listening(t);
  await passes(20, 11);
  t.match(problems[0]?.message, 'the revocation feed is late');
  t.notOk(follower.isCurrent());
  feed.now = world.now;
  await soon(() => {
    world.advance(0.05);
    return follower.isCurrent();
  }, 'another stream says what there is now');
});

t.test('the clock of the service need not agree with the own one, and is believed no future', async (t) => {
  const feed = await startFeed(t);
  const world = fakeWorld(globalThis.fetch);
  let step = 3_600_000;
  feed.now = () => world.now() + step;
  const options = { baseUrl: feed.url, token: async () => 'token', maxStaleness: 10, onProblem: () => {} };
  const follower = follow(options, world);
  t.teardown(() => follower.close());
  const heard = async (jti: string) => {
    feed.beat();
    feed.publish(revocation('jti', jti, NOW));
    await soon(() => follower.revokes({ ...claimsAt(NOW), jti } as unknown as AccessTokenClaims), 'it is read');
  };
  await soon(() => feed.open() === 1, 'it listens');
  for (const jti of ['one', 'two', 'three']) {
    await heard(jti);
    world.advance(4);
  }
  t.ok(follower.isCurrent(), 'an hour ahead it is as good');
  step *= 2;
  await heard('four');
  world.advance(10.001);
  t.notOk(follower.isCurrent(), 'a clock that is set forward prolongs nothing');
});
