/** Sessions whose token comes in a response header, and is renewed there while the user is active. */
import t, { type Test } from 'tap';
import type { NewClient } from '../../src/domain/clients.js';
import type { UserId } from '../../src/domain/types.js';
import { AT_THE_CONSOLE } from '../support/administrator.js';
import { breakableProjection } from '../support/breakable-projection.js';
import { fastDatabase } from '../support/databases.js';
import { oauthOf } from '../support/oauth.js';
import { codeOf, execute, PASSWORD, rowOf, startService, testKeks } from '../support/service.js';
import { claimsOf, delivered, slidingOf } from '../support/sliding.js';
import { watched } from '../support/watched-database.js';

const database = watched(await fastDatabase(t));
const keks = testKeks();
const MINUTE = 60;

let clients = 0;
/** A service with a client of its own, somebody logged in there, and the token of that. */
async function start(t: Test, more: Partial<NewClient> = {}, env: Record<string, string> = {}) {
  const service = await startService(t, { database, keks, env });
  const clientId = `web${clients++}`;
  const email = `ada@${clientId}.example`;
  const { begin, login, check } = slidingOf(service);
  const token = await begin({ clientId, ...more }, email);
  const { sid } = claimsOf(token);
  return {
    ...service,
    service,
    clientId,
    email,
    token,
    sid,
    check,
    login: () => login({ client_id: clientId }, email),
    row: () => rowOf(database, 'sessions', `id = '${sid}'`),
  };
}

const slides = () => database.asked().filter((name) => name === 'session_slide').length;

t.test('a login answers with the token in the header, and without a refresh token', async (t) => {
  const { post, clientId, email, clock } = await start(t);
  const answer = await post('/v1/login', { email, password: PASSWORD, client_id: clientId });
  const token = delivered(answer) ?? '';
  const { iat, exp, sid } = claimsOf(token);
  const { device_token: device, ...body } = answer.json();
  t.match(device, /^ktd_/);
  t.same(body, { session_id: sid, expires_in: 30 * MINUTE });
  t.same([iat, exp], [Math.floor(clock.now() / 1000), iat + 30 * MINUTE]);
  t.notMatch(answer.body, /"(ktr_|eyJ)/);
});

t.test('a token is renewed once it is older than renew_after, at every endpoint and at the gateway', async (t) => {
  const { token, sid, check, get, post, call, clock, logs, row } = await start(t);
  const bearer = { authorization: `Bearer ${token}` };
  clock.advance(59);
  t.equal(delivered(await check(token)), null);
  clock.advance(1);
  for (const ask of [
    () => check(token),
    () => call({ method: 'HEAD', url: '/v1/authorize?audience=api', headers: bearer }),
    () => get('/v1/me', token),
    () => get('/v1/sessions', token),
    () => post('/v1/me/password', { current_password: 'x', new_password: 'y' }, bearer),
  ]) {
    const answer = await ask();
    const renewed = claimsOf(delivered(answer) ?? '');
    t.equal(renewed.sid, sid);
    t.not(renewed.jti, claimsOf(token).jti);
    t.equal(renewed.exp - renewed.iat, 30 * MINUTE);
    t.match(logs.at(-1), { jti: claimsOf(token).jti, renewed_jti: renewed.jti, status: answer.statusCode });
    clock.advance(60);
  }
  t.equal((await row()).last_seen_at?.valueOf(), clock.now() - 60_000);
  const bad = await check(`${token}x`);
  t.equal(delivered(bad), null, 'a token that is no good is not renewed');
});

t.test('whoever is active stays in, until the absolute end', async (t) => {
  const { token, check, clock, get } = await start(t, { absoluteTtl: 100 * MINUTE });
  let latest = token;
  for (let minutes = 25; minutes < 100; minutes += 25) {
    clock.advance(25 * MINUTE);
    const answer = await check(latest);
    t.equal(answer.statusCode, 200, `after ${minutes} minutes`);
    latest = delivered(answer) ?? '';
    t.equal((await get('/v1/me', latest)).statusCode, 200);
  }
  t.equal(claimsOf(latest).exp - claimsOf(latest).iat, 25 * MINUTE, 'no token outlives its session');
  clock.advance(25 * MINUTE + 6);
  const over = await check(latest);
  t.same([over.statusCode, codeOf(over), delivered(over)], [401, 'token_expired', null]);
});

t.test('after 30 minutes without a request the session is over', async (t) => {
  const { token, check, clock, get, row } = await start(t);
  clock.advance(20 * MINUTE);
  const renewed = delivered(await check(token)) ?? '';
  clock.advance(31 * MINUTE);
  for (const answer of [await check(renewed), await get('/v1/me', renewed), await check(token)])
    t.same([answer.statusCode, codeOf(answer), delivered(answer)], [401, 'token_expired', null]);
  t.ok(Number((await row()).idle_expires_at?.valueOf()) < clock.now());
});

t.test('the renewals of parallel requests are all good, and cost one write', async (t) => {
  const { token, check, clock, get, app } = await start(t);
  clock.advance(5 * MINUTE);
  database.asked();
  const ask = () =>
    app.inject({ method: 'GET', url: '/v1/authorize?audience=api', headers: { authorization: `Bearer ${token}` } });
  const answers = await Promise.all(Array.from({ length: 40 }, ask));
  t.equal(slides(), 1);
  t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200]);
  const tokens = [...new Set(answers.map((answer) => delivered(answer) ?? ''))];
  for (const renewed of [...tokens, token]) t.equal((await get('/v1/me', renewed)).statusCode, 200);
  clock.advance(10);
  slides();
  t.equal(delivered(await check(token)), tokens[0], 'a tab that comes later gets it too');
  t.equal(slides(), 0);
  clock.advance(50);
  t.notOk(tokens.includes(delivered(await check(token)) ?? ''));
  t.equal(slides(), 1, 'once a renew_after');
});

t.test('several nodes write one use of a session once', async (t) => {
  const { service, token, clock, sid } = await start(t);
  const others = await Promise.all([1, 2].map(() => startService(t, { database, keks, clock: service.clock })));
  clock.advance(5 * MINUTE);
  const nodes = [service, ...others];
  for (const node of nodes) await node.services.directory.load();
  const before = await database.query<{ xmin: string }>(
    { name: 'test_xmin', text: `SELECT xmin::text FROM sessions WHERE id = '${sid}'` },
    [],
  );
  const answers = await Promise.all(nodes.flatMap((node) => [1, 2, 3].map(() => slidingOf(node).check(token))));
  const renewed = answers.map((answer) => claimsOf(delivered(answer) ?? ''));
  t.same([...new Set(renewed.map(({ iat, exp }) => `${iat} ${exp}`))].length, 1, 'they count from the same use');
  const versions = await database.query<{ xmin: string }>(
    { name: 'test_xmin_after', text: `SELECT xmin::text FROM sessions WHERE id = '${sid}'` },
    [],
  );
  t.not(versions[0]?.xmin, before[0]?.xmin);
  clock.advance(30);
  for (const node of nodes) await slidingOf(node).check(token);
  const later = await database.query(
    { name: 'test_xmin_after', text: `SELECT xmin::text FROM sessions WHERE id = '${sid}'` },
    [],
  );
  t.same(later, versions, 'and half a renew_after later nobody writes');
});

t.test('with renew_after 0 each request renews', async (t) => {
  const { token, check } = await start(t, { renewAfter: 0 });
  const tokens = [token];
  for (let i = 0; i < 3; i++) tokens.push(delivered(await check(tokens.at(-1) ?? '')) ?? '');
  t.equal(new Set(tokens).size, 4);
});

t.test('a logout ends the session at once, for every token of it', async (t) => {
  const { token, check, clock, post, get } = await start(t);
  clock.advance(2 * MINUTE);
  const renewed = delivered(await check(token)) ?? '';
  const answer = await post('/v1/logout', undefined, { authorization: `Bearer ${token}` });
  t.same([answer.statusCode, delivered(answer)], [204, null], 'and is not answered with another token');
  for (const dead of [token, renewed]) {
    for (const after of [await check(dead), await get('/v1/me', dead)])
      t.same([after.statusCode, codeOf(after), delivered(after)], [401, 'token_revoked', null]);
  }
});

t.test('ending all sessions ends this one too, and it gets no other token', async (t) => {
  const { token, clock, call, check } = await start(t);
  clock.advance(2 * MINUTE);
  const answer = await call({
    method: 'DELETE',
    url: '/v1/sessions?include_current=true',
    headers: { authorization: `Bearer ${token}` },
  });
  t.same([answer.statusCode, delivered(answer)], [204, null]);
  t.equal(codeOf(await check(token)), 'token_revoked');
});

t.test('whoever gives a token back has ended its session', async (t) => {
  const { service, token, clock, check, clientId } = await start(t);
  clock.advance(2 * MINUTE);
  const renewed = delivered(await check(token)) ?? '';
  const answer = await oauthOf(service).send('/oauth/revoke', { token, client_id: clientId });
  t.equal(answer.statusCode, 200);
  t.equal(codeOf(await check(renewed)), 'token_revoked');
});

t.test('a user who is disabled or loses a role gets no more tokens', async (t) => {
  const { service, clientId, token, clock, check, row } = await start(t);
  const { users } = service.services.administration;
  const userId = (await row()).user_id as UserId;
  await execute(database, `UPDATE clients SET required_roles = '{staff}' WHERE client_id = '${clientId}'`);
  clock.advance(2 * MINUTE);
  const faded = await check(token);
  t.same([faded.statusCode, delivered(faded)], [200, null], 'what he has fades away');
  await users.setRoles(userId, ['staff'], AT_THE_CONSOLE);
  clock.advance(10);
  const renewed = delivered(await check(token)) ?? '';
  t.same(claimsOf(renewed).roles, ['staff'], 'a renewed token tells of the roles of now');
  await users.disable(userId, AT_THE_CONSOLE);
  const ended = await check(renewed);
  t.same([codeOf(ended), delivered(ended)], ['token_revoked', null]);
});

t.test('a renewed token that was revoked by itself is not handed out again', async (t) => {
  const { service, token, clock, check } = await start(t);
  clock.advance(2 * MINUTE);
  const renewed = delivered(await check(token)) ?? '';
  await service.services.administration.revocations.revoke(
    { kind: 'jti', value: claimsOf(renewed).jti },
    AT_THE_CONSOLE,
  );
  t.equal(codeOf(await check(renewed)), 'token_revoked');
  const other = delivered(await check(token)) ?? '';
  t.not(other, renewed);
  t.equal((await check(other)).statusCode, 200);
});

t.test('without the database requests pass, and the next one after it is renewed', async (t) => {
  const { app, token, clock, check, logs, metrics } = await start(t);
  clock.advance(2 * MINUTE);
  await check(token);
  clock.advance(2 * MINUTE);
  database.setAway(true);
  t.teardown(() => database.setAway(false));
  const ask = () =>
    app.inject({ method: 'GET', url: '/v1/authorize?audience=api', headers: { authorization: `Bearer ${token}` } });
  for (let i = 0; i < 3; i++) {
    const answer = await ask();
    t.same([answer.statusCode, delivered(answer)], [200, null]);
    t.match(logs.at(-1), { status: 200, renewal: 'failed' });
  }
  t.equal(logs.filter(({ msg }) => msg.startsWith('a token could not be renewed')).length, 1, 'one tried');
  database.setAway(false);
  clock.advance(1);
  t.ok(delivered(await ask()));
  const text = await metrics.text();
  for (const count of ['renewed"} 2', 'failed"} 3', 'refused"} 0'])
    t.match(text, `keyturn_renewal_total{outcome="${count}`);
});

t.test('the header has the name that is configured', async (t) => {
  const service = await startService(t, { database, keks, env: { ACCESS_TOKEN_HEADER: 'X-Session-Token' } });
  const fields = { clientId: 'named', name: 'Named', type: 'public', audiences: ['api'] } as const;
  await service.services.clients.create({ ...fields, tokenDelivery: 'header', renewAfter: 0 });
  await service.register('ada@named.example');
  const login = await service.post('/v1/login', { email: 'ada@named.example', password: PASSWORD, client_id: 'named' });
  const token = String(login.headers['x-session-token']);
  t.equal(login.headers.jwt, undefined);
  const { headers } = await service.get('/v1/me', token);
  t.ok(headers['x-session-token']);
});

t.test('a token is good for no longer than revocations last, however long its session may be idle', async (t) => {
  const { clientId, token, check, clock, post, services } = await start(t);
  // As an earlier version stored a client with header delivery, or one that is still running changed it.
  await execute(
    database,
    `UPDATE clients SET access_token_ttl = 900, idle_ttl = 1209600 WHERE client_id = '${clientId}'`,
  );
  // What other tests' clients say does not lengthen the rule.
  await execute(database, `UPDATE clients SET access_token_ttl = 900 WHERE client_id <> '${clientId}'`);
  clock.advance(2 * MINUTE);
  const renewed = delivered(await check(token)) ?? '';
  const { exp, iat } = claimsOf(renewed);
  t.ok(exp - iat <= 15 * MINUTE, `${exp - iat} s`);
  await post('/v1/logout', undefined, { authorization: `Bearer ${renewed}` });
  t.equal(codeOf(await check(renewed)), 'token_revoked');
  clock.advance(60 * MINUTE);
  await services.revocations.follow();
  t.equal((await check(renewed)).statusCode, 401, 'an hour later it has not come back');
});

t.test('what was made while the clock was ahead is not handed out when it has been set right', async (t) => {
  const { token, check, clock } = await start(t);
  clock.advance(10 * MINUTE);
  t.ok(delivered(await check(token)));
  clock.setBack(8 * MINUTE);
  const renewed = delivered(await check(token));
  if (renewed !== null) t.equal((await check(renewed)).statusCode, 200);
});

t.test('a token of which it is not known whether it is revoked is not renewed', async (t) => {
  const redis = breakableProjection();
  const service = await startService(t, {
    ...{ database, keks, projection: redis.projection },
    env: { REVOCATION_FAIL_MODE: 'open' },
  });
  const token = await slidingOf(service).begin({ clientId: 'open' }, 'ada@open.example');
  service.clock.advance(2 * MINUTE);
  await service.services.keys.load();
  redis.break();
  const { revocations } = service.services.administration;
  await t.rejects(revocations.revoke({ kind: 'jti', value: claimsOf(token).jti }, AT_THE_CONSOLE), {
    code: 'revocation_pending',
  });
  const headers = { authorization: `Bearer ${token}` };
  const answer = await service.app.inject({ method: 'GET', url: '/v1/authorize?audience=api', headers });
  t.same([answer.statusCode, delivered(answer)], [200, null], 'it would be good when the one before is not any more');
});

t.test('a session that gets no more tokens is not asked about at each request', async (t) => {
  const { clientId, token, app, clock, services } = await start(t);
  await execute(database, `UPDATE clients SET required_roles = '{staff}' WHERE client_id = '${clientId}'`);
  clock.advance(2 * MINUTE);
  await services.keys.load();
  await services.revocations.follow();
  database.asked();
  const headers = { authorization: `Bearer ${token}` };
  for (let i = 0; i < 20; i++) await app.inject({ method: 'GET', url: '/v1/authorize?audience=api', headers });
  t.ok(database.asked().length <= 4);
});

t.test('what is due by the second is due by the store, too', async (t) => {
  const service = await startService(t, { database, keks });
  // A login late in a second, and a request early in one.
  service.clock.advance(0.6);
  const { begin, check } = slidingOf(service);
  const token = await begin({ clientId: 'late' }, 'ada@late.example');
  service.clock.advance(59.2);
  const renewed = delivered(await check(token));
  if (renewed !== null) t.ok(claimsOf(renewed).exp > claimsOf(token).exp, 'a token that lives no longer is none');
  database.asked();
  await check(renewed ?? token);
  t.equal(slides(), 0);
});

t.test(
  'whoever gives a token back has ended its session, though this node has not heard of the client yet',
  async (t) => {
    const other = await startService(t, { database, keks });
    const { token, clientId, sid } = await start(t);
    await other.services.keys.load();
    const payload = new URLSearchParams({ token, client_id: clientId }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await other.app.inject({ method: 'POST', url: '/oauth/revoke', headers, payload });
    t.equal(answer.statusCode, 200);
    t.not((await rowOf(database, 'sessions', `id = '${sid}'`)).revoked_at, null);
  },
);

t.test('a request too many is refused, and not the occasion of a renewal', async (t) => {
  const { token, check, clock } = await start(t, {}, { LIMIT_CHECKS: '1' });
  clock.advance(MINUTE);
  await check(token);
  clock.advance(59);
  slides();
  const refused = await check(token);
  t.equal(refused.statusCode, 429);
  t.strictSame([delivered(refused), slides()], [null, 0]);
  clock.advance(1);
  t.not(delivered(await check(token)), null, 'but the next one is');
});
