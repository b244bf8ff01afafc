/** What the verifier makes of a feed that refuses, talks nonsense or gets no token. Time is moved by hand. */
import t from 'tap';
import { FEED_TOKEN, following } from '../support/following.js';
import { refuse, revocation, soon, startFeed } from '../support/revocation-feed.js';
import { type Json, NOW } from '../support/verifier.js';

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
    [() => Promise.resolve(`${FEED_TOKEN}\r\nx-evil: 1`), /has given no token/],
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
    refuse(401, FEED_TOKEN),
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
  t.notMatch(said.join('\n'), FEED_TOKEN);
  feed.answer = {};
  await passesUntil(async () => (await outcome()) === 'accepted', 'it accepts again');
});
