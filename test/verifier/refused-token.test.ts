import t from 'tap';
import { follow } from '../../src/verifier/follower.js';
import { refuse, soon, startFeed } from '../support/revocation-feed.js';
import { fakeWorld } from '../support/verifier.js';

t.test('a token that is kept is given up when it is refused, as after everything was revoked', async (t) => {
  const feed = await startFeed(t);
  const world = fakeWorld(globalThis.fetch);
  feed.now = world.now;
  let made = 0;
  let kept: string | null = null;
  const given: (string | undefined)[] = [];
  async function token(refused?: string): Promise<string> {
    given.push(refused);
    if (kept === null || kept === refused) kept = `token-${++made}`;
    return kept;
  }
  const follower = follow({ baseUrl: feed.url, token, maxStaleness: 10, onProblem: () => {} }, world);
  t.teardown(() => follower.close());
  await soon(() => feed.open() === 1, 'it listens');
  t.same(given, [undefined]);

  feed.answer = {
    page(request, response) {
      const isOld = request.headers.authorization === 'Bearer token-1';
      if (!isOld) feed.answer = {};
      const answer = isOld ? refuse(401, 'token_revoked') : refuse(503, 'overloaded');
      answer(request, response);
    },
  };
  await feed.cut();
  await soon(() => {
    world.advance(0.05);
    return feed.open() === 1;
  }, 'it listens again');
  t.equal(made, 2);
  t.same(given, [undefined, undefined, 'token-1', 'token-1'], 'also after a failure of another kind');
  t.ok(follower.isCurrent());
});
