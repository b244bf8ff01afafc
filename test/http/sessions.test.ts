/** /v1/sessions and /v1/logout: the devices of a person, and how each is logged out. */
import t, { type Test } from 'tap';
import { isBearerRefusal, isProblem } from '../support/answers.js';
import { execute, rowOf, rowsOf, startService, type Tokens } from '../support/service.js';

const { call, post, get, refresh, register, login, database, clock } = await startService(t);

const asBearer = ({ access_token: token }: Tokens) => ({ authorization: `Bearer ${token}` });
const remove = (url: string, who: Tokens) => call({ method: 'DELETE', url, headers: asBearer(who) });
const list = async (who: Tokens) => (await get('/v1/sessions', who.access_token)).json().sessions;
const idsOf = async (who: Tokens) => (await list(who)).map(({ id }: { id: string }) => id).sort();
const ids = (...sessions: Tokens[]) => sessions.map(({ session_id: id }) => id).sort();

async function person(email: string, logins: number): Promise<Tokens[]> {
  await register(email);
  const sessions: Tokens[] = [];
  for (let i = 0; i < logins; i++) sessions.push(await login(email));
  return sessions;
}

async function isEnded(t: Test, session: Tokens, reason: string): Promise<void> {
  isBearerRefusal(t, await get('/v1/me', session.access_token), 'token_revoked');
  isProblem(t, await refresh(session.refresh_token), 401, 'session_revoked');
  t.equal((await rowOf(database, 'sessions', `id = '${session.session_id}'`)).revoke_reason, reason);
}
const isLive = async (t: Test, session: Tokens) => t.equal((await get('/v1/me', session.access_token)).statusCode, 200);

const endings = (session: Tokens) =>
  rowsOf(database, 'audit_events', `session_id = '${session.session_id}' AND event <> 'login.succeeded'`);

t.test('a person sees the own sessions, the last seen first', async (t) => {
  const email = 'ada@example.com';
  const userId = await register(email);
  await person('eve@example.com', 1);
  const device = { email, password: 'a long walk by the sea', device_name: 'Ada’s phone' };
  const phone: Tokens = (await post('/v1/login', device, { 'user-agent': 'Phone/1.0' })).json();
  const began = new Date(clock.now()).toISOString();
  clock.advance(60);
  const laptop = await login(email);
  clock.advance(60);
  const refreshed: Tokens = (
    await post('/v1/refresh', { refresh_token: phone.refresh_token }, { 'user-agent': 'Phone/2.0' })
  ).json();
  const common = { client_id: 'default', ip: '127.0.0.1', place: null, flagged: null };
  const expected = [
    {
      ...common,
      id: phone.session_id,
      device_name: 'Ada’s phone',
      user_agent: 'Phone/2.0',
      created_at: began,
      last_seen_at: new Date(clock.now()).toISOString(),
      current: true,
    },
    {
      ...common,
      id: laptop.session_id,
      device_name: null,
      user_agent: 'lightMyRequest',
      created_at: new Date(clock.now() - 60_000).toISOString(),
      last_seen_at: new Date(clock.now() - 60_000).toISOString(),
      current: false,
    },
  ];
  const response = await get('/v1/sessions', refreshed.access_token);
  t.equal(response.statusCode, 200);
  t.equal(response.headers['cache-control'], 'no-store');
  t.strictSame(response.json(), { sessions: expected });
  t.equal((await rowsOf(database, 'sessions', `user_id = '${userId}'`)).length, 2);
});

t.test('sessions that have ended or run out are not listed', async (t) => {
  const [own, ended, idle, over] = (await person('listed@example.com', 4)) as [Tokens, Tokens, Tokens, Tokens];
  await remove(`/v1/sessions/${ended.session_id}`, own);
  const past = `'2026-03-01T00:00:00Z'`;
  await execute(database, `UPDATE sessions SET idle_expires_at = ${past} WHERE id = '${idle.session_id}'`);
  await execute(database, `UPDATE sessions SET expires_at = ${past} WHERE id = '${over.session_id}'`);
  t.strictSame(await idsOf(own), ids(own));
  isProblem(t, await refresh(idle.refresh_token), 401, 'session_expired');
  isProblem(t, await refresh(over.refresh_token), 401, 'session_expired');
  isProblem(t, await remove(`/v1/sessions/${idle.session_id}`, own), 404, 'not_found', 'it is over already');
});

t.test('one session is ended, and no other', async (t) => {
  const [own, other, third] = (await person('one@example.com', 3)) as [Tokens, Tokens, Tokens];
  const response = await remove(`/v1/sessions/${other.session_id}`, own);
  t.equal(response.statusCode, 204);
  t.equal(response.body, '');
  await isEnded(t, other, 'ended_by_user');
  await isLive(t, own);
  await isLive(t, third);
  t.match(await endings(other), [
    { event: 'session.ended', outcome: 'success', ip: '127.0.0.1', request_id: response.headers['x-request-id'] },
  ]);
  isProblem(t, await remove(`/v1/sessions/${other.session_id}`, own), 404, 'not_found', 'only once');
  t.equal((await endings(other)).length, 1);
  t.equal((await remove(`/v1/sessions/${own.session_id}`, own)).statusCode, 204, 'the own one too');
  await isEnded(t, own, 'ended_by_user');
});

t.test('somebody else’s session is not found, and lives', async (t) => {
  const [own] = (await person('finder@example.com', 1)) as [Tokens];
  const [theirs] = (await person('theirs@example.com', 1)) as [Tokens];
  const answers = [];
  for (const id of [theirs.session_id, '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b']) {
    const response = await remove(`/v1/sessions/${id}`, own);
    isProblem(t, response, 404, 'not_found');
    answers.push({ ...response.json(), request_id: '' });
  }
  t.strictSame(answers[0], answers[1], 'it looks like one that is not there');
  await isLive(t, theirs);
});

t.test('an id that is no UUID is refused', async (t) => {
  const [own] = (await person('ids@example.com', 1)) as [Tokens];
  const wrong = [
    'x',
    '%00',
    `urn:uuid:${own.session_id}`,
    `%7B${own.session_id}%7D`,
    own.session_id.replaceAll('-', ''),
  ];
  for (const id of wrong) isProblem(t, await remove(`/v1/sessions/${id}`, own), 400, 'invalid_request', id);
  isProblem(t, await remove(`/v1/sessions/${own.session_id}?force=true`, own), 400, 'invalid_request', 'unknown query');
  await isLive(t, own);
  t.equal((await remove(`/v1/sessions/${own.session_id.toUpperCase()}`, own)).statusCode, 204, 'in any case');
});

t.test('all other sessions are ended', async (t) => {
  const [own, other, third] = (await person('others@example.com', 3)) as [Tokens, Tokens, Tokens];
  const [bystander] = (await person('bystander@example.com', 1)) as [Tokens];
  t.equal((await remove('/v1/sessions?include_current=false', own)).statusCode, 204);
  t.strictSame(await idsOf(own), ids(own));
  await isEnded(t, other, 'ended_by_user');
  await isEnded(t, third, 'ended_by_user');
  await isLive(t, bystander);
  t.match(await endings(own), [{ event: 'sessions.ended', outcome: 'success', details: { ended: 2 } }]);
  t.equal((await remove('/v1/sessions', own)).statusCode, 204, 'none is fine too');
  await isLive(t, own);
});

t.test('all sessions are ended where that is asked for', async (t) => {
  const sessions = (await person('all@example.com', 2)) as [Tokens, Tokens];
  const [own] = sessions;
  for (const query of ['include_current=yes', 'include_current=', 'include_current=true&include_current=true', 'x=1']) {
    isProblem(t, await remove(`/v1/sessions?${query}`, own), 400, 'invalid_request', query);
  }
  await isLive(t, own);
  t.equal((await remove('/v1/sessions?include_current=true', own)).statusCode, 204);
  for (const session of sessions) await isEnded(t, session, 'ended_by_user');
});

t.test('a bearer token logs its session out, and no other', async (t) => {
  const [own, other] = (await person('bearer@example.com', 2)) as [Tokens, Tokens];
  const response = await post('/v1/logout', undefined, asBearer(own));
  t.equal(response.statusCode, 204);
  t.equal(response.body, '');
  await isEnded(t, own, 'logout');
  await isLive(t, other);
  t.match(await endings(own), [
    { event: 'session.ended', outcome: 'success', request_id: response.headers['x-request-id'] },
  ]);
  isBearerRefusal(t, await post('/v1/logout', undefined, asBearer(own)), 'token_revoked', 'not twice');
  t.equal((await post('/v1/logout', {}, asBearer(other))).statusCode, 204, 'with an empty object');
});

t.test('a refresh token logs its session out, and no other', async (t) => {
  const [own, other] = (await person('token@example.com', 2)) as [Tokens, Tokens];
  const next: Tokens = (await refresh(own.refresh_token)).json();
  t.equal((await post('/v1/logout', { refresh_token: next.refresh_token })).statusCode, 204);
  await isEnded(t, next, 'logout');
  await isLive(t, other);
  t.match(await endings(own), [{ event: 'session.ended', outcome: 'success' }]);
});

t.test('an old refresh token still logs out, since its owner may have nothing newer', async (t) => {
  const [own] = (await person('old@example.com', 1)) as [Tokens];
  const second: Tokens = (await refresh(own.refresh_token)).json();
  await refresh(second.refresh_token);
  t.equal((await post('/v1/logout', { refresh_token: own.refresh_token })).statusCode, 204);
  await isEnded(t, own, 'logout');
});

t.test('an unknown or dead refresh token is no error, and ends nothing', async (t) => {
  const [own, dead] = (await person('dead@example.com', 2)) as [Tokens, Tokens];
  await post('/v1/logout', { refresh_token: dead.refresh_token });
  const bytes = Buffer.from(own.refresh_token.slice(4), 'base64url');
  // Of another generation, with another secret, with another tag.
  const forged = [19, 30, 60].map((at) => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return `ktr_${copy.toString('base64url')}`;
  });
  const unknown = [dead.refresh_token, ...forged, `ktr_${Buffer.alloc(68).toString('base64url')}`, 'ktr_', 'x'];
  for (const token of unknown) {
    const response = await post('/v1/logout', { refresh_token: token });
    t.equal(response.statusCode, 204, token.slice(0, 10));
  }
  await isLive(t, own);
  t.equal((await endings(dead)).length, 1, 'nothing is written of it');
});

t.test('a logout says which session it means, in one way', async (t) => {
  const [own, other] = (await person('which@example.com', 2)) as [Tokens, Tokens];
  isBearerRefusal(t, await post('/v1/logout'), 'token_missing');
  isBearerRefusal(t, await post('/v1/logout', {}), 'token_missing');
  isBearerRefusal(t, await post('/v1/logout', undefined, { authorization: 'Bearer x' }), 'token_malformed');
  isProblem(t, await post('/v1/logout', { refresh_token: other.refresh_token }, asBearer(own)), 400, 'invalid_request');
  isProblem(t, await post('/v1/logout', { token: own.refresh_token }), 400, 'invalid_request');
  isProblem(t, await post('/v1/logout', { refresh_token: 7 }), 400, 'invalid_request');
  await isLive(t, own);
  await isLive(t, other);
});

t.test('of many logouts at once each is answered, and one is written down', async (t) => {
  const [own] = (await person('many@example.com', 1)) as [Tokens];
  const body = { refresh_token: own.refresh_token };
  const responses = await Promise.all(Array.from({ length: 8 }, () => post('/v1/logout', body)));
  t.ok(responses.every(({ statusCode }) => statusCode === 204));
  t.equal((await endings(own)).length, 1);
});
