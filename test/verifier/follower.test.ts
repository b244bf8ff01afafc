/** What the verifier knows of revocations, over real connections that end in every way. Time is moved by hand. */
import t, { type Test } from 'tap';
import { follow } from '../../src/verifier/follower.js';
import type { RevocationOptions } from '../../src/verifier/options.js';
import type { AccessTokenClaims } from '../../src/verifier/token.js';
import { createVerifierIn, type Verifier } from '../../src/verifier/verifier.js';
import { type RevocationFeed, refuse, revocation, soon, startFeed } from '../support/revocation-feed.js';
import {
  AUDIENCE,
  claimsAt,
  type FakeWorld,
  fakeWorld,
  forgeWith,
  type Json,
  NOW,
  outcomeOf,
  rsaKey,
} from '../support/verifier.js';

const key = rsaKey('Key-1');
const SECRET = 'c2VjcmV0.c2VjcmV0.c2VjcmV0';

interface Following {
  feed: RevocationFeed;
  world: FakeWorld;
  verifier: Verifier;
  /** Of a token with these claims. */
  outcome(claims?: Json): Promise<string>;
  becomes(expected: string, claims?: Json): Promise<void>;
  /** Moves the clock in short steps until it is so, as time would pass. */
  passesUntil(isSo: () => boolean | Promise<boolean>, what: string): Promise<void>;
  problems: Error[];
}

/** The keys come from the test, the revocations from the feed. */
async function following(t: Test, options: Partial<RevocationOptions> = {}, feed?: RevocationFeed): Promise<Following> {
  const from = feed ?? (await startFeed(t));
  const world = fakeWorld((input, init) =>
    String(input).endsWith('jwks.json')
      ? Promise.resolve(Response.json({ keys: [key.publicJwk] }, { headers: { 'cache-control': 'max-age=3600' } }))
      : globalThis.fetch(input, init),
  );
  from.now = world.now;
  const problems: Error[] = [];
  let given = 0;
  const revocationOptions: RevocationOptions = {
    follow: { token: async () => `${SECRET}${++given}` },
    onProblem: (problem) => problems.push(problem),
    ...options,
  };
  const verifier = createVerifierIn(world, { issuer: from.url, audience: AUDIENCE, revocation: revocationOptions });
  t.teardown(() => verifier.close());
  const forge = forgeWith(key, { iss: from.url, exp: NOW + 86_400 });
  const outcome = (claims: Json = {}) => outcomeOf(verifier.verify(forge.token({ claims })));
  return {
    feed: from,
    world,
    verifier,
    problems,
    outcome,
    becomes: (expected, claims) =>
      soon(async () => (await outcome(claims)) === expected, `a token becomes ${expected}`),
    passesUntil: (isSo, what) =>
      soon(async () => {
        if (await isSo()) return true;
        world.advance(0.05);
        return false;
      }, what),
  };
}

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
  for (const bearer of [`${SECRET}1`, `${SECRET}2`, `${SECRET}3`]) {
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

t.test('who refuses is obeyed: when to come back, and what to put right', async (t) => {
  for (const [answer, least, message] of [
    [refuse(429, 'too_many_requests', { 'retry-after': '7' }), 7, /429 too_many_requests/],
    [refuse(503, 'revocation_unknown', { 'retry-after': '20' }), 20, /503 revocation_unknown/],
    [refuse(503, 'not_ready', { 'retry-after': '86400' }), 60, /503 not_ready/],
    [refuse(403, 'insufficient_scope'), 15, /needs the scope revocations:read/],
    [refuse(401, 'token_expired'), 0.1, /401 token_expired: the token of revocation.follow.token is not accepted/],
    [refuse(400, 'invalid_cursor'), 0.1, /400 invalid_cursor/],
    [refuse(302, 'x', { location: 'http://127.0.0.1:9/' }), 0.1, /cannot be reached/],
    [refuse(200, 'x'), 0.1, /is not understood/],
  ] as const) {
    const feed = await startFeed(t);
    feed.answer = { page: answer };
    const { world, problems, outcome } = await following(t, {}, feed);
    await soon(() => problems.length === 1 && world.timers() === 1, 'it waits');
    t.match(problems[0]?.message, message);
    t.equal(await outcome(), 'revocation_unknown');
    world.advance(least - 0.001);
    t.equal(feed.pages(), 1, `${message}: not sooner`);
    world.advance(60);
    await soon(() => feed.pages() === 2, `${message}: it asks again`);
  }
});

t.test('what cannot be understood cannot be enforced, so nothing is accepted', async (t) => {
  const page = (body: Json) => (_: unknown, response: { end(text: string): unknown }) =>
    response.end(JSON.stringify(body));
  const good = { revocations: [], cursor: 'c0', as_of: '', has_more: false };
  const event = (type: string, data: string) => `event: ${type}\ndata: ${data}\n\n`;
  for (const body of [
    { ...good, revocations: [revocation('galaxy', 'x', NOW)] },
    { ...good, revocations: {} },
    { ...good, has_more: undefined },
    { ...good, cursor: 7 },
  ]) {
    const feed = await startFeed(t);
    feed.answer = { page: page(body) };
    const { outcome, problems } = await following(t, {}, feed);
    await soon(() => problems.length === 1, 'it is told');
    t.match(problems[0]?.message, 'is not understood');
    t.equal(await outcome(), 'revocation_unknown');
  }
  for (const text of [
    event('revocation', 'no JSON'),
    event('revocation', '7'),
    event('revocation', JSON.stringify(revocation('galaxy', 'x', NOW))),
    `data: ${'x'.repeat(70_000)}`,
  ]) {
    const { feed, verifier, problems } = await following(t);
    await verifier.warmUp();
    await soon(() => feed.open() === 1, 'it listens');
    feed.write(text);
    await soon(() => problems.length === 1, 'it is told');
    t.match(problems[0]?.message, /is not understood|too long/);
  }
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

t.test('an endless page, and an answer that is no stream, are failures', async (t) => {
  const feed = await startFeed(t);
  const standing = JSON.stringify({ revocations: [], cursor: 'c0', as_of: '', has_more: true });
  feed.answer = { page: (_request, response) => response.end(standing) };
  const first = await following(t, {}, feed);
  await soon(() => first.problems.length === 1, 'it is told');
  t.match(first.problems[0]?.message, 'the cursor does not move');
  t.equal(feed.pages(), 2);

  const second = await following(t);
  second.feed.answer = { stream: (_request, response) => response.end('<html>') };
  await soon(() => second.problems.length === 1, 'it is told');
  t.match(second.problems[0]?.message, 'no event stream');
});

t.test('whoever gives the token may fail, never answer, or give nonsense', async (t) => {
  for (const [token, message] of [
    [() => Promise.reject(new Error('no')), /token has failed/],
    [() => Promise.resolve(undefined as never), /has given no token/],
    [() => Promise.resolve(`${SECRET}\r\nx-evil: 1`), /has given no token/],
    [
      () => {
        throw new Error('at once');
      },
      /token has failed/,
    ],
    [() => new Promise<string>(() => {}), /is silent|has failed/],
  ] as const) {
    const { feed, problems, passesUntil, outcome } = await following(t, { follow: { token } });
    await passesUntil(() => problems.length === 2, 'it tries again');
    t.match(problems[0]?.message, message);
    t.equal(feed.asked.length, 0);
    t.equal(await outcome(), 'revocation_unknown');
  }
});

t.test('no problem holds the token, and a listener that throws does no harm', async (t) => {
  const problems: Error[] = [];
  const onProblem = (problem: Error) => {
    problems.push(problem);
    throw new Error('listener');
  };
  const feed = await startFeed(t);
  const answers = [
    refuse(401, SECRET),
    refuse(500, 'x'),
    (request: { socket: { destroy(): void } }) => request.socket.destroy(),
  ];
  const { passesUntil, outcome } = await following(t, { onProblem }, feed);
  for (const answer of answers) {
    feed.answer = { page: answer, stream: answer };
    await feed.cut();
    const before = problems.length;
    await passesUntil(() => problems.length > before + 1, 'it is told');
  }
  const said = problems.map(({ message, stack, cause }) => `${message} ${stack} ${cause} ${(cause as Error)?.cause}`);
  t.notMatch(said.join('\n'), SECRET);
  feed.answer = {};
  await passesUntil(async () => (await outcome()) === 'accepted', 'it accepts again');
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
