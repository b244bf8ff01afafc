/** GET /v1/revocations: who may read it and its stream, from where, and that pages have everything once. */
import t from 'tap';
import { cursorOf } from '../../src/domain/revocation-feed.js';
import { isBearerRefusal, isProblem, outcomeOf } from '../support/answers.js';
import { READING, startFeedService } from '../support/feed-service.js';
import { execute } from '../support/service.js';

const { service, database, clock, reader, tokenOf, commit } = await startFeedService(t);
const { services, get, login, post, logs } = service;
const token = await tokenOf(reader.basic);
await services.clients.create({ clientId: 'app', name: 'App', type: 'public', audiences: ['x'], ...READING });
const userId = await service.register();

const page = (query = '', bearer = token) => get(`/v1/revocations${query}`, bearer);

t.test('a page says of each rule what it is about, from when and until when', async (t) => {
  const { session_id: sid, refresh_token } = await login();
  await post('/v1/logout', { refresh_token });
  await commit('sub', userId);
  await commit('all', '');
  const answer = await page();
  t.equal(answer.statusCode, 200);
  t.equal(answer.headers['cache-control'], 'no-store');
  const { revocations, cursor, as_of, has_more } = answer.json();
  const at = new Date(clock.now()).toISOString();
  const common = { id: /^\d{16}$/, revoked_at: at, expires_at: /^2.*Z$/ };
  t.match(revocations, [
    { ...common, kind: 'sid', value: sid, not_before: null },
    { ...common, kind: 'sub', value: userId, not_before: /:\d\d\.000Z$/ },
    { ...common, kind: 'all', value: null, not_before: /:\d\d\.000Z$/ },
  ]);
  t.same([as_of, has_more], [at, false]);
  t.match((await page(`?after=${cursor}`)).json(), { revocations: [], cursor, has_more: false });
  // It would concern everybody below.
  await execute(database, 'DELETE FROM revocations');
});

t.test('pages have everything once, in order', async (t) => {
  const made: string[] = [];
  for (let i = 0; i < 5; i++) made.push(await commit());
  const read: string[] = [];
  let query = '?limit=2';
  for (;;) {
    const { revocations, cursor, has_more } = (await page(query)).json();
    t.ok(revocations.length <= 2);
    read.push(...revocations.map(({ value }: { value: string }) => value));
    if (!has_more) break;
    query = `?limit=2&after=${cursor}`;
  }
  t.same(read, made);
});

t.test('only a live token with the scope reads, of a service or of a person', async (t) => {
  const outcomes = async (bearer?: string) => {
    const answers = [await get('/v1/revocations', bearer), await get('/v1/revocations/stream', bearer)];
    const [one, two] = answers.map(outcomeOf);
    t.equal(one, two, 'both are refused alike');
    return answers;
  };
  for (const answer of await outcomes()) isBearerRefusal(t, answer, 'token_missing');
  for (const answer of await outcomes('x.y.z')) isBearerRefusal(t, answer, 'token_malformed');
  for (const answer of await outcomes((await login()).access_token)) {
    isProblem(t, answer, 403, 'insufficient_scope');
    t.match(answer.headers['www-authenticate'], /error="insufficient_scope"/);
  }
  const near = await tokenOf(reader.basic, { scope: 'read' });
  for (const answer of await outcomes(near)) isProblem(t, answer, 403, 'insufficient_scope');

  const person = await login('ada@example.com', { client_id: 'app', scope: 'read revocations:read' });
  t.equal((await page('', person.access_token)).statusCode, 200);
  await execute(database, `UPDATE sessions SET idle_expires_at = created_at WHERE id = '${person.session_id}'`);
  for (const answer of await outcomes(person.access_token)) isBearerRefusal(t, answer, 'token_revoked');
  t.match(
    logs.findLast(({ path }) => path === '/v1/revocations'),
    { code: 'token_revoked', sid: person.session_id },
  );
});

t.test('a cursor that this service cannot have given is refused, in either place', async (t) => {
  const now = clock.now() * 1000;
  const id = (text: string) => Buffer.from(text).toString('base64url');
  const bad = [
    ...[
      '',
      'x',
      '!',
      id('r1:'),
      id('r2:1'),
      id('r1:-1'),
      id('r1:01'),
      id('r1:1.5'),
      id(`r1:${'9'.repeat(16)}`),
      'cjE6MQ==',
    ],
    ...[cursorOf(now + 61_000_000), id('r1:1 '), 'x'.repeat(5000)],
  ];
  for (const cursor of bad) {
    const last = { authorization: `Bearer ${token}`, 'last-event-id': cursor };
    const stream = await service.call({ method: 'GET', url: '/v1/revocations/stream', headers: last });
    isProblem(t, stream, 400, 'invalid_cursor', `Last-Event-ID ${cursor.slice(0, 20)}`);
    const query = `?after=${encodeURIComponent(cursor)}`;
    for (const answer of [await page(query), await get(`/v1/revocations/stream${query}`, token)])
      isProblem(t, answer, 400, 'invalid_cursor', query.slice(0, 20));
  }
  t.equal((await page(`?after=${cursorOf(now + 59_000_000)}`)).statusCode, 200, 'clocks differ a little');
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?limit=', '?x=1', '?after=x&after=x'])
    isProblem(t, await page(query), 400, 'invalid_request', query);
});
