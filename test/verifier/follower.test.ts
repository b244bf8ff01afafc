/** What the verifier knows of revocations, over real connections that end in every way. Time is moved by hand. */
import t from 'tap';
import { follow } from '../../src/verifier/follower.js';
import type { AccessTokenClaims } from '../../src/verifier/token.js';
import { FEED_TOKEN, following } from '../support/following.js';
import { refuse, revocation, soon, startFeed } from '../support/revocation-feed.js';
import { claimsAt, fakeWorld, forgeWith, NOW, outcomeOf, rsaKey } from '../support/verifier.js';

const key = rsaKey('Key-1');

t.test('it reads all pages, then listens from where they end', async (t) => {
  const feed = await startFeed(t);
  for (let i = 0; i < 7; i++) feed.publish(revocation('jti', `old-${i}`, NOW));
  const { outcome, verifier, becomes } = await following(t, {}, feed);
  t.equal(await outcome(), 'revocation_unknown', 'nothing is known yet');
  await verifier.warmUp();
  t.equal(await outcome({ jti: 'old-6' }), 'token_revoked');
  t.equal(await outcome(), 'accepted');
  await soon(() => feed.open() === 1, 'it listens');
  t.same(
    feed.asked.map(({ path, after }) => [path, after]),
    [
      ['/v1/revocations', null],
      ['/v1/revocations', 'c3'],
      ['/v1/revocations', 'c6'],
      ['/v1/revocations/stream', 'c7'],
    ],
  );
  feed.publish(revocation('sid', 'session-1', NOW));
  await becomes('token_revoked');
  t.equal(await outcome({ sid: 'another' }), 'accepted');
});

t.test('the token is sent in a header, and asked for anew for each connection', async (t) => {
  const { feed, verifier, passesUntil } = await following(t);
  await verifier.warmUp();
  for (const bearer of [`${FEED_TOKEN}1`, `${FEED_TOKEN}2`, `${FEED_TOKEN}3`]) {
    await passesUntil(() => feed.open() === 1, 'it listens');
    t.same(
      feed.asked.splice(0).map((asked) => asked.bearer),
      [bearer, bearer],
    );
    await feed.end();
  }
});

t.test('every kind of revocation takes effect, also on a token that was accepted a moment ago', async (t) => {
  const { feed, verifier, outcome, becomes } = await following(t);
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  for (const [kind, value, claims] of [
    ['jti', 'j', { jti: 'j' }],
    ['sid', 's', { sid: 's' }],
    ['sub', 'u', { sub: 'u' }],
    ['client', 'c', { client_id: 'c' }],
    ['all', null, {}],
  ] as const) {
    t.equal(await outcome(claims), 'accepted', `${kind}: before`);
    feed.publish(revocation(kind, value, NOW + 1));
    await becomes('token_revoked', claims);
    t.equal(await outcome({ ...claims, iat: NOW + 1 }), ['jti', 'sid'].includes(kind) ? 'token_revoked' : 'accepted');
  }
});

t.test('cut off it knows what it knew, and refuses everything when that is too old', async (t) => {
  const { feed, verifier, world, outcome, becomes, problems } = await following(t);
  feed.publish(revocation('jti', 'bad', NOW));
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  world.advance(4);
  feed.beat();
  feed.publish(revocation('jti', 'known', NOW));
  await becomes('token_revoked', { jti: 'known' });
  feed.answer = { page: refuse(502, 'bad_gateway'), stream: refuse(502, 'bad_gateway') };
  await feed.cut();
  await soon(() => problems.length > 0, 'it is told that the connection broke');
  world.advance(10);
  t.equal(await outcome(), 'accepted', 'ten seconds old');
  world.advance(0.001);
  t.equal(await outcome(), 'revocation_unknown');
  t.equal(await outcome({ jti: 'bad' }), 'token_revoked', 'what is known is known');
  t.equal(await outcome({ exp: NOW - 10 }), 'token_expired');
  await soon(() => problems.some(({ message }) => message.includes('502')), 'it has tried again');
  const error = await verifier.verify(forgeWith(key, { iss: feed.url }).token()).catch((error) => error);
  t.match(error, { status: 503, retryAfter: 1, wwwAuthenticate: null });
  t.match(error.cause.message, '502 bad_gateway', 'it says why');
});

t.test('what was missed while it was cut off is caught up with, before anything is accepted again', async (t) => {
  const { feed, verifier, world, outcome, passesUntil } = await following(t);
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  feed.answer = { page: refuse(502, 'bad_gateway') };
  await feed.cut();
  world.advance(11);
  feed.publish(revocation('jti', 'missed', NOW));
  t.equal(await outcome({ jti: 'missed' }), 'revocation_unknown');
  feed.answer = {};
  const seen = new Set<string>();
  await passesUntil(async () => {
    seen.add(await outcome({ jti: 'missed' }));
    return (await outcome()) === 'accepted';
  }, 'it accepts again');
  t.equal(await outcome({ jti: 'missed' }), 'token_revoked');
  t.notOk(seen.has('accepted'));
});

t.test('with "allow" unknown is let through, and what is known is not', async (t) => {
  const feed = await startFeed(t);
  feed.answer = { page: refuse(503, 'overloaded') };
  const { outcome, verifier, world, passesUntil } = await following(t, { onUnknown: 'allow' }, feed);
  t.equal(await outcome(), 'accepted', 'nothing is known yet');
  const warm = verifier.warmUp();
  await soon(() => world.timers() > 1, 'it waits');
  world.advance(10);
  await warm;
  feed.publish(revocation('jti', 'bad', NOW));
  feed.answer = {};
  await passesUntil(async () => (await outcome({ jti: 'bad' })) === 'token_revoked', 'it has heard');
  await feed.close();
  world.advance(60);
  t.equal(await outcome(), 'accepted');
  t.equal(await outcome({ jti: 'bad' }), 'token_revoked');
});

t.test('a feed that cannot be reached at the start is waited for', async (t) => {
  const feed = await startFeed(t);
  feed.answer = { page: (request) => request.socket.destroy() };
  const { outcome, verifier, world, passesUntil, problems } = await following(t, {}, feed);
  const warm = outcomeOf(verifier.warmUp());
  await passesUntil(() => problems.length >= 4, 'it tries again and again');
  t.match(problems[0]?.message, 'the revocation feed cannot be reached');
  world.advance(10);
  t.equal(await warm, 'revocation_unknown');
  t.equal(await outcome(), 'revocation_unknown');
  feed.answer = {};
  const again = verifier.warmUp();
  await passesUntil(() => feed.open() === 1, 'it listens');
  await again;
  t.equal(await outcome(), 'accepted');
});

t.test('pauses between attempts are short, grow to three seconds, and are never none', async (t) => {
  const feed = await startFeed(t);
  feed.answer = { page: refuse(500, 'internal_error') };
  const { world, problems } = await following(t, {}, feed);
  // Half of each pause is drawn, and what is drawn here is the middle.
  for (const [i, pause] of [0.1875, 0.375, 0.75, 1.5, 2.25, 2.25, 2.25].entries()) {
    await soon(() => problems.length === i + 1 && world.timers() === 1, 'it has failed, and waits');
    world.advance(pause - 0.001);
    t.equal(world.timers(), 1);
    t.equal(feed.pages(), i + 1, `not before ${pause} s`);
    world.advance(0.001);
  }
});

t.test('a cursor that is not known any more is a new beginning, with what was known', async (t) => {
  const { feed, verifier, outcome, passesUntil } = await following(t);
  feed.publish(revocation('jti', 'bad', NOW));
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  feed.asked.splice(0);
  feed.knows = (cursor) => cursor !== 'c1' || feed.asked.some(({ after }) => after === null);
  await feed.cut();
  feed.publish(revocation('jti', 'newer', NOW));
  await passesUntil(() => feed.open() === 1, 'it listens again');
  t.equal(feed.asked[1]?.after, null);
  for (const jti of ['bad', 'newer']) t.equal(await outcome({ jti }), 'token_revoked');
  t.equal(await outcome(), 'accepted');
});

t.test('a stream that is silent is given up before the view is too old, and comments are silence', async (t) => {
  const { feed, verifier, world, outcome, passesUntil, problems } = await following(t);
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  feed.mute = true;
  for (let i = 0; i < 4; i++) {
    feed.write(': still here\n\nevent: weather\ndata: fine\n\n');
    world.advance(1);
  }
  t.equal(feed.streams(), 1);
  world.advance(1);
  await soon(() => problems.length === 1, 'it gives up');
  t.match(problems[0]?.message, 'is silent');
  t.equal(await outcome(), 'accepted');
  await passesUntil(() => feed.streams() === 2, 'it asks again');
  world.advance(5);
  t.equal(await outcome(), 'accepted', 'catching up alone has kept it current');
});

t.test('where streams do not get through, catching up keeps the view current most of the time', async (t) => {
  const feed = await startFeed(t);
  feed.answer = { stream: refuse(502, 'bad_gateway') };
  const { verifier, outcome, becomes, passesUntil } = await following(t, {}, feed);
  await verifier.warmUp();
  await passesUntil(() => feed.streams() > 8, 'it tries');
  t.equal(await outcome(), 'accepted');
  feed.publish(revocation('jti', 'bad', NOW));
  const before = feed.pages();
  await passesUntil(() => feed.pages() > before, 'it has read another page');
  await becomes('token_revoked', { jti: 'bad' });
});

t.test('what is cut in the midst of an event is not lost', async (t) => {
  const { feed, verifier, outcome, passesUntil } = await following(t);
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  const data = JSON.stringify(revocation('jti', 'half', NOW));
  for (const piece of [`event: revocation\r\nid: c1\r\ndata: ${data.slice(0, 60)}`]) feed.write(piece);
  await feed.end();
  t.equal(await outcome({ jti: 'half' }), 'accepted', 'half an event is none');
  feed.publish(revocation('jti', 'half', NOW));
  await passesUntil(() => feed.open() === 1, 'it listens again');
  t.equal(await outcome({ jti: 'half' }), 'token_revoked');
});

t.test('events that trickle in with other line ends, and come twice, are heard', async (t) => {
  const { feed, verifier, outcome, becomes } = await following(t);
  await verifier.warmUp();
  await soon(() => feed.open() === 1, 'it listens');
  const data = JSON.stringify(revocation('jti', 'ä', NOW));
  const bytes = Buffer.from(`: x\r\nevent: revocation\r\nid: c1\r\ndata: ${data}\r\n\r\n`.repeat(2));
  for (let i = 0; i < bytes.length; i += 7) feed.write(new Uint8Array(bytes.subarray(i, i + 7)));
  await becomes('token_revoked', { jti: 'ä' });
  t.equal(await outcome(), 'accepted');
});

t.test('more revocations than fit refuse everything, until there are fewer', async (t) => {
  const feed = await startFeed(t);
  const world = fakeWorld(globalThis.fetch);
  const problems: Error[] = [];
  const options = {
    baseUrl: feed.url,
    token: async () => 'token',
    maxStaleness: 10,
    onProblem: (error: Error) => problems.push(error),
  };
  const follower = follow(options, world, 4);
  t.teardown(() => follower.close());
  const passesUntil = async (isSo: () => boolean, what: string) =>
    soon(() => {
      if (!isSo()) world.advance(0.05);
      return isSo();
    }, what);
  await soon(() => feed.open() === 1, 'it listens');
  t.ok(follower.isCurrent());
  for (let i = 0; i < 5; i++) feed.publish(revocation('jti', `t${i}`, NOW));
  await soon(() => problems.length === 1, 'it is told');
  t.match(problems[0]?.message, 'more than 4 live revocations');
  t.notOk(follower.isCurrent(), 'at once, not after ten seconds');
  const known = { ...claimsAt(NOW), jti: 't3' } as unknown as AccessTokenClaims;
  t.ok(follower.revokes(known), 'and what fitted is not forgotten');
  await passesUntil(() => problems.length === 2, 'it reads all of them again');
  t.notOk(follower.isCurrent());
  feed.forget();
  world.advance(1_200);
  await passesUntil(() => follower.isCurrent(), 'it is current again');
  t.notOk(follower.revokes(known), 'long expired');
});

t.test('closed, it leaves nothing behind', async (t) => {
  for (const when of ['listening', 'pausing', 'asking', 'waiting for a token']) {
    const feed = await startFeed(t);
    if (when === 'pausing') feed.answer = { page: refuse(500, 'x') };
    if (when === 'asking') feed.answer = { page: () => {} };
    const never = { follow: { token: () => new Promise<string>(() => {}) } };
    const made = await following(t, when === 'waiting for a token' ? never : {}, feed);
    const isThere: Record<string, () => boolean> = {
      listening: () => feed.open() === 1,
      pausing: () => made.problems.length === 1,
      asking: () => feed.pages() === 1,
      'waiting for a token': () => true,
    };
    await soon(isThere[when] ?? (() => false), when);
    await made.outcome();
    await made.verifier.close();
    await made.verifier.close();
    t.equal(made.world.timers(), 0, `${when}: no timers`);
    await soon(() => feed.open() === 0, 'the stream is closed');
    const { length } = feed.asked;
    made.world.advance(60);
    t.equal(feed.asked.length, length);
    t.equal(await made.outcome(), 'revocation_unknown', 'what it knew is too old');
  }
});
