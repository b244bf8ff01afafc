/** The audit trail: where a request came from, and how old a reused token was. And the places in the list of devices. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { openPlaces } from '../../src/adapters/geo/places.js';
import type { UserId } from '../../src/domain/types.js';
import { AT_THE_CONSOLE } from '../support/administrator.js';
import { refreshesIn } from '../support/metrics.js';
import { codeOf, PASSWORD, rowOf, rowsOf, startService, type Tokens, testKeks } from '../support/service.js';

const US = '8.8.8.8';
const NL = '193.0.6.139';
const PRIVATE = '10.1.2.3';

const keks = testKeks();
const service = await startService(t, {
  keks,
  env: { TRUST_PROXY: '127.0.0.1' },
  places: await openPlaces({ places: null, networks: null }),
});
const { clock, database } = service;
let people = 0;

/** A session that was rotated `times` times, a minute apart. */
async function rotated(times: number) {
  const email = `person-${++people}@example.com`;
  const userId = await service.register(email);
  const { session_id: sessionId, refresh_token: stolen } = await service.login(email);
  let token = stolen;
  for (let n = 1; n <= times; n++) {
    clock.advance(60);
    token = (await service.refresh(token, `k${n}`)).json().refresh_token;
  }
  const events = `event = 'refresh.reused' AND session_id = '${sessionId}'`;
  return { userId, sessionId, stolen, event: () => rowOf(database, 'audit_events', events), events };
}

const use = (token: string, key?: string) =>
  service.post(
    '/v1/refresh',
    { refresh_token: token },
    {
      'x-forwarded-for': NL,
      'user-agent': 'Thief/1.0',
      'x-request-id': 'the-theft',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
  );

t.test('the event says whose session it was, who used the token, and how old it was', async (t) => {
  const { userId, sessionId, stolen, event } = await rotated(2);
  clock.advance(3600);
  t.equal(codeOf(await use(stolen, 'another-key-of-the-thief')), 'refresh_token_reused');
  const { id: _, ...rest } = await event();
  t.same(rest, {
    at: new Date(clock.now()),
    event: 'refresh.reused',
    outcome: 'failure',
    actor: 'anonymous',
    user_id: userId,
    session_id: sessionId,
    client_id: 'default',
    jti: null,
    by_session_id: null,
    by_jti: null,
    ip: NL,
    place: 'NL',
    user_agent: 'Thief/1.0',
    request_id: 'the-theft',
    // The first of the two rotations used it up: a minute before the second one.
    details: { presented: 0, stored: 2, generations_ago: 2, used_up_s_ago: 3660, with_key: true },
  });
});

t.test('how long ago a token was used up is known for the last four rotations', async (t) => {
  const four = await rotated(4);
  clock.advance(10);
  await use(four.stolen);
  t.match(await four.event(), { details: { generations_ago: 4, used_up_s_ago: 190, with_key: false } });

  const five = await rotated(5);
  await use(five.stolen);
  t.match(await five.event(), { details: { presented: 0, stored: 5, generations_ago: 5, used_up_s_ago: null } });
});

t.test('of uses at one moment one leaves the event, and each is counted as what it was told', async (t) => {
  const { stolen, events } = await rotated(1);
  clock.advance(3600);
  const codes: Record<string, number> = {};
  const counted = await refreshesIn(service.metrics, async () => {
    for (const response of await Promise.all(Array.from({ length: 10 }, () => use(stolen)))) {
      codes[codeOf(response)] = (codes[codeOf(response)] ?? 0) + 1;
    }
  });
  const { refresh_token_reused: reused = 0, session_revoked: revoked = 0 } = codes;
  t.ok(reused >= 1);
  t.equal(reused + revoked, 10);
  t.same(counted, { reused, ...(revoked === 0 ? {} : { revoked }) });
  t.equal((await rowsOf(database, 'audit_events', events)).length, 1);
  t.same(
    await refreshesIn(service.metrics, () => use(stolen)),
    { revoked: 1 },
    'and later ones find the session ended',
  );
  t.equal((await rowsOf(database, 'audit_events', events)).length, 1);
});

const postFrom = (ip: string, url: string, body: unknown) => service.post(url, body, { 'x-forwarded-for': ip });
const loginFrom = (ip: string, email: string, password = PASSWORD) => postFrom(ip, '/v1/login', { email, password });

t.test('a device has the place of the address it was last seen at', async (t) => {
  const email = 'ada@example.com';
  await service.register(email);
  let tokens: Tokens = (await loginFrom(US, email)).json();
  const device = async () => {
    const { sessions } = (await service.get('/v1/sessions', tokens.access_token)).json();
    return sessions.find(({ id }: { id: string }) => id === tokens.session_id);
  };
  t.match(await device(), { ip: US, place: 'US' });
  for (const [ip, place] of [
    [NL, 'NL'],
    [PRIVATE, null],
    ['2001:4860:4860::8888', 'US'],
  ] as const) {
    tokens = (await postFrom(ip, '/v1/refresh', { refresh_token: tokens.refresh_token })).json();
    t.match(await device(), { ip, place });
  }
});

t.test('every event has the place of its address', async (t) => {
  const email = 'eve@example.com';
  await postFrom(NL, '/v1/users', { email, password: PASSWORD });
  await loginFrom(US, email);
  await loginFrom(NL, email, 'a wrong one');
  await loginFrom(PRIVATE, email);
  const events = await rowsOf(service.database, 'audit_events', 'ip IS NOT NULL ORDER BY id DESC LIMIT 4');
  t.same(
    events.map(({ event, ip, place }) => [event, ip, place]),
    [
      ['login.succeeded', PRIVATE, null],
      ['login.failed', NL, 'NL'],
      ['login.succeeded', US, 'US'],
      ['user.created', NL, 'NL'],
    ],
  );
});

t.test('what is done with an access token is found by the token, and tells whom it concerns', async (t) => {
  const email = 'joan@example.com';
  const userId = await service.register(email);
  const [left, mine] = [await service.login(email), await service.login(email)];
  const { jti } = decodeJwt(mine.access_token);
  const authorization = `Bearer ${mine.access_token}`;
  await service.call({ method: 'DELETE', url: `/v1/sessions/${left.session_id}`, headers: { authorization } });
  await service.call({
    method: 'POST',
    url: '/v1/me/password',
    headers: { authorization, 'content-type': 'application/json' },
    payload: { current_password: 'a wrong one', new_password: 'another walk by the sea' },
  });
  const third = await service.login(email);
  await service.call({
    method: 'POST',
    url: '/v1/logout',
    headers: { authorization: `Bearer ${third.access_token}` },
  });
  const out = `event = 'session.ended' AND session_id = '${third.session_id}'`;
  t.match(await rowOf(database, 'audit_events', out), {
    by_session_id: third.session_id,
    by_jti: decodeJwt(third.access_token).jti,
  });
  await service.post('/v1/logout', { refresh_token: mine.refresh_token });
  const by = { user_id: userId, by_session_id: mine.session_id, by_jti: jti };
  t.match(await rowsOf(database, 'audit_events', `by_jti = '${jti}' ORDER BY id`), [
    { ...by, event: 'session.ended', session_id: left.session_id, client_id: 'default' },
    { ...by, event: 'password.change_failed', session_id: mine.session_id, client_id: 'default' },
  ]);
  const ended = `event = 'session.ended' AND session_id = '${mine.session_id}'`;
  t.match(await rowOf(database, 'audit_events', ended), { client_id: 'default', by_session_id: null, by_jti: null });
});

t.test('a login that is refused is told of with the reason, whatever the reason', async (t) => {
  const email = 'mary@example.com';
  const userId = await service.register(email);
  const reasons = async () =>
    (await rowsOf(database, 'audit_events', `event = 'login.failed' AND user_id = '${userId}' ORDER BY id`)).map(
      ({ details }) => (details as { reason: string }).reason,
    );
  await loginFrom(NL, email, 'a wrong one');
  await service.post('/v1/login', { email, password: PASSWORD, client_id: 'keyturn-admin' });
  await service.services.administration.users.disable(userId as UserId, AT_THE_CONSOLE);
  await loginFrom(NL, email);
  t.same(await reasons(), ['invalid_credentials', 'role_required', 'account_disabled']);
});

t.test('a client that cannot prove who it is leaves an event, whether there is such a client or not', async (t) => {
  const ask = (client_id: string) =>
    service.call({
      method: 'POST',
      url: '/oauth/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-forwarded-for': NL },
      payload: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret: 'x' }).toString(),
    });
  for (const id of ['default', 'nobody']) {
    t.equal((await ask(id)).statusCode, 401);
    const event = await rowOf(
      database,
      'audit_events',
      `event = 'client.authentication_failed' AND client_id = '${id}'`,
    );
    t.match(event, { outcome: 'failure', actor: 'anonymous', ip: NL, place: 'NL' });
  }
});

t.test('a refresh leaves an event where that is asked for, and none where it is not', async (t) => {
  const audited = await startService(t, { database, env: { AUDIT_REFRESHES: 'true' }, keks });
  const email = 'rosa@example.com';
  const userId = await service.register(email);
  const { session_id: id, refresh_token: first } = await service.login(email);
  const { refresh_token: second } = (await service.refresh(first)).json();
  await audited.refresh(second);
  t.match(await rowsOf(database, 'audit_events', `session_id = '${id}' AND event <> 'login.succeeded'`), [
    { event: 'refresh.rotated', outcome: 'success', actor: `user:${userId}`, details: { generation: 2 } },
  ]);
});
