/** GET /v1/revocations/stream: that nothing is missing or there twice, and when streams end. */
import t, { type Test } from 'tap';
import { isProblem } from '../support/answers.js';
import { type FeedReader, listening } from '../support/events.js';
import { NOBODY, READING, startFeedService } from '../support/feed-service.js';
import { samplesOf } from '../support/metrics.js';
import { eventually } from '../support/process.js';
import { execute, startService } from '../support/service.js';

const started = await startFeedService(t, { LIMIT_FEEDS: '60' });
const { service, database, keks, clock, redis, reader, confidential, tokenOf, revoke } = started;
const { app, services, get, logs } = service;
const other = await confidential('other', READING);
const token = await tokenOf(reader.basic);
const open = await listening(app);

const values = (events: { event: string; data: Record<string, unknown> }[]) =>
  events.filter((one) => one.event === 'revocation').map(({ data }) => data.value);
const lineOf = (id: string) => logs.filter(({ request_id }) => request_id === id);

/** Reads until the value has come, and gives all that came before it. */
async function upTo(follower: FeedReader, value: string) {
  const read: unknown[] = [];
  for (let one = await follower.next(); one !== null; one = await follower.next()) {
    if (one.event === 'revocation') read.push(one.data.value);
    if (one.data.value === value) return read;
  }
  throw new Error('the stream has ended');
}

t.test('a follower gets what there is, then what comes, and hears that nothing is missing', async (t) => {
  const before = await revoke();
  const follower = await open(t, token, '', { 'x-request-id': 'a-follower' });
  t.equal(follower.response.statusCode, 200);
  t.match(follower.response.headers, {
    'content-type': /^text\/event-stream/,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'x-request-id': 'a-follower',
  });
  const first = await follower.untilCurrent();
  t.equal(values(first).at(-1), before);
  const [last, current] = first.slice(-2);
  t.same(current, {
    event: 'current',
    id: last?.id,
    data: { cursor: last?.id, as_of: new Date(clock.now()).toISOString() },
  });

  const pushed = await revoke();
  t.match(await follower.next(), { event: 'revocation', data: { kind: 'jti', value: pushed, not_before: null } });
  clock.advance(1);
  await services.revocations.follow();
  services.feed.beat();
  const beat = await follower.next();
  t.match(beat, { event: 'current', data: { as_of: new Date(clock.now()).toISOString() } });

  const missed = [await revoke(), await revoke()];
  const again = await open(t, token, '?after=from-an-old-address', { 'last-event-id': beat?.id });
  t.same(values(await again.untilCurrent()), missed, 'whoever was away gets what he missed');
  const query = await open(t, token, `?after=${beat?.id}`);
  t.same(values(await query.untilCurrent()), missed);

  t.same(lineOf('a-follower'), [], 'its line is written when it ends');
  follower.hangUp();
  await eventually(
    () => lineOf('a-follower').length === 1,
    () => 'there is no line of it',
  );
  const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const line = {
    path: '/v1/revocations/stream',
    status: 200,
    sub: 'reader',
    client_id: 'reader',
    jti,
    ip: '127.0.0.1',
  };
  t.match(lineOf('a-follower'), [{ ...line, hung_up: true }]);
});

t.test('nothing is missed or told twice, whenever it is revoked', async (t) => {
  const made: string[] = [];
  let isOver = false;
  const revoking = (async () => {
    while (!isOver) made.push(await revoke());
  })();
  const followers: FeedReader[] = [];
  for (let i = 0; i < 8; i++) followers.push(await open(t, token));
  isOver = true;
  await revoking;
  const last = await revoke();
  made.push(last);
  for (const follower of followers) {
    const read = await upTo(follower, last);
    t.same(read.slice(-made.length), made);
    t.equal(new Set(read).size, read.length);
    follower.hangUp();
  }
  await eventually(
    () => services.feed.size() <= 2,
    () => 'they are still counted',
  );
});

const ended = async (follower: FeedReader) => {
  while ((await follower.next()) !== null);
  return true;
};

t.test('a stream ends with its token', async (t) => {
  const revoked = await tokenOf(other.basic);
  const follower = await open(t, revoked, '', { 'x-request-id': 'of-a-revoked-token' });
  await follower.untilCurrent();
  await services.revokeToken(revoked, { clientId: 'other', tokenDelivery: 'body' }, NOBODY);
  t.equal((await follower.next())?.event, 'revocation', 'it still hears why');
  t.equal(await follower.next(), null);
  await eventually(
    () => lineOf('of-a-revoked-token').length === 1,
    () => 'there is no line of it',
  );
  t.notOk('hung_up' in (lineOf('of-a-revoked-token')[0] ?? {}));

  const expiring = await open(t, await tokenOf(other.basic));
  const untilExpiry = async (seconds: number) => {
    clock.advance(seconds);
    await services.revocations.follow();
    services.feed.beat();
  };
  await expiring.untilCurrent();
  await untilExpiry(904);
  t.equal((await expiring.next())?.event, 'current', 'as long as it would be accepted');
  await untilExpiry(1);
  t.ok(await ended(expiring));
});

t.test(
  'a node that cannot tell whether it knows everything is silent, and then sends its followers away',
  async (t) => {
    const follower = await open(t, await tokenOf(reader.basic));
    await follower.untilCurrent();
    services.feed.beat();
    t.equal((await follower.next())?.event, 'current');
    redis.break();
    clock.advance(2);
    services.feed.beat();
    clock.advance(3);
    services.feed.beat();
    clock.advance(0.1);
    services.feed.beat();
    redis.mend();
    t.equal(await follower.next(), null, 'not one more heartbeat');
  },
);

/** Waits until so many followers are there. */
const following = (count: number) =>
  eventually(
    () => services.feed.size() === count,
    () => `${services.feed.size()} follow`,
  );

t.test('a follower that does not read is let go, and keeps nobody from reading', async (t) => {
  const bearer = await tokenOf(reader.basic);
  const slow = await open(t, bearer, '', { 'x-request-id': 'a-slow-one' });
  const quick = await open(t, bearer);
  slow.response.socket.pause();
  await quick.untilCurrent();
  // More than the sockets of both ends hold.
  const count = 8_000;
  await execute(
    database,
    `INSERT INTO revocations (kind, value, revoked_at, expires_at)
      SELECT 'jti', n || repeat('x', 2000), now(), now() + interval '1 day' FROM generate_series(1, ${count}) AS n`,
  );
  await services.revocations.enforce();
  const last = await revoke();
  t.equal((await upTo(quick, last)).length, count + 1);
  t.same(lineOf('a-slow-one'), []);
  clock.advance(10.1);
  await services.revocations.follow();
  services.feed.beat();
  await eventually(
    () => lineOf('a-slow-one').length === 1,
    () => 'it is still there',
  );
  t.equal(services.feed.size(), 1);
  slow.hangUp();
  quick.hangUp();
  await following(0);
  await execute(database, 'DELETE FROM revocations');
});

t.test('one client may follow fifty times, and a process has room for so many', async (t) => {
  const [mine, theirs] = [await tokenOf(reader.basic), await tokenOf(other.basic)];
  const gauge = async () => samplesOf(await service.metrics.text(), 'keyturn_feed_followers')[''];
  const followers: FeedReader[] = [];
  const fill = async (bearer: string, count: number) => {
    for (let i = 0; i < count; i++) followers.push(await open(t, bearer));
  };
  const refused = async (t: Test, bearer: string, status: number, code: string) => {
    const answer = await get('/v1/revocations/stream', bearer);
    isProblem(t, answer, status, code);
    t.match(answer.headers['retry-after'], /^[1-9]\d*$/);
  };
  await fill(mine, 50);
  await refused(t, mine, 429, 'too_many_streams');
  await fill(theirs, 10);
  await refused(t, theirs, 503, 'overloaded');
  t.equal(await gauge(), 60);
  followers[0]?.hangUp();
  await following(59);
  await fill(mine, 1);
  for (const follower of followers) follower.hangUp();
  await following(0);
});

t.test('whoever asks for the head alone does not follow', async (t) => {
  const headers = { authorization: `Bearer ${await tokenOf(reader.basic)}` };
  const head = await service.call({ method: 'HEAD', url: '/v1/revocations/stream', headers });
  t.match(head, { statusCode: 200, body: '', headers: { 'content-type': /^text\/event-stream/ } });
  await following(0);
});

t.test('the service does not wait for its followers when it stops', async (t) => {
  const own = await startService(t, { database, keks, clock });
  const ownOpen = await listening(own.app);
  const bearer = await tokenOf(reader.basic);
  const followers = [await ownOpen(t, bearer), await ownOpen(t, bearer)];
  for (const follower of followers) await follower.untilCurrent();
  const closing = own.app.close();
  for (const follower of followers) t.equal(await follower.next(), null, 'the end is in good order');
  await closing;
});
