/** POST /v1/me/password: what it asks for, and that afterwards the old password is worth nothing. */
import t, { type Test } from 'tap';
import { isBearerRefusal, isProblem, outcomeOf } from '../support/answers.js';
import { postgresDatabase, withoutPostgres } from '../support/databases.js';
import { PASSWORD, rowOf, rowsOf, startService, type TestService, testKeks } from '../support/service.js';

const NEW_PASSWORD = 'a short walk in the hills';
const keks = testKeks();
const service = await startService(t, { keks });
const { post, get, refresh, register, login, database, clock } = service;

const change = (token: string, current: string, next: string) =>
  post('/v1/me/password', { current_password: current, new_password: next }, { authorization: `Bearer ${token}` });

t.test('a changed password ends all other sessions, and the old one no longer works', async (t) => {
  const email = 'ada@example.com';
  const userId = await register(email);
  await register('eve@example.com');
  const eve = await login('eve@example.com');
  const [own, other, third] = [await login(), await login(), await login()];
  clock.advance(60);
  const response = await change(own.access_token, PASSWORD, NEW_PASSWORD);
  t.equal(response.statusCode, 204);
  t.equal(response.body, '');

  t.equal((await get('/v1/me', own.access_token)).statusCode, 200, 'the own session goes on');
  t.equal((await refresh(own.refresh_token)).statusCode, 200, 'and is refreshed');
  for (const ended of [other, third]) {
    isBearerRefusal(t, await get('/v1/me', ended.access_token), 'token_revoked');
    isProblem(t, await refresh(ended.refresh_token), 401, 'session_revoked');
    const row = await rowOf(database, 'sessions', `id = '${ended.session_id}'`);
    t.match(row, { revoke_reason: 'password_changed', revoked_at: new Date(clock.now()) });
  }
  t.equal((await get('/v1/me', eve.access_token)).statusCode, 200, 'other people’s sessions go on');

  isProblem(t, await post('/v1/login', { email, password: PASSWORD }), 401, 'invalid_credentials');
  t.equal((await post('/v1/login', { email, password: NEW_PASSWORD })).statusCode, 200);
  t.match(await rowsOf(database, 'audit_events', `event = 'password.changed'`), [
    {
      outcome: 'success',
      actor: `user:${userId}`,
      user_id: userId,
      session_id: own.session_id,
      request_id: response.headers['x-request-id'],
      details: { ended: 2 },
    },
  ]);
});

t.test('a change that is refused changes nothing', async (t) => {
  const email = 'refused@example.com';
  await register(email);
  const [own, other] = [await login(email), await login(email)];
  const before = await rowOf(database, 'users', `email_key = '${email}'`);
  clock.advance(1);
  const { access_token: token } = own;
  isProblem(t, await change(token, 'not the password', NEW_PASSWORD), 403, 'wrong_password');
  isProblem(t, await change(token, 'not the password', 'short'), 403, 'wrong_password', 'which is asked first');
  const reasons: Record<string, string> = {
    too_short: 'sea wlk',
    too_long: 'x'.repeat(129),
    too_common: 'password123',
    contains_email: 'Refused again and again',
  };
  for (const [reason, next] of Object.entries(reasons)) {
    const response = await change(token, PASSWORD, next);
    isProblem(t, response, 422, 'password_rejected', reason);
    t.strictSame(response.json().reasons, [reason]);
  }
  isProblem(
    t,
    await post('/v1/me/password', { new_password: NEW_PASSWORD }, { authorization: `Bearer ${token}` }),
    400,
    'invalid_request',
  );
  isBearerRefusal(
    t,
    await post('/v1/me/password', { current_password: PASSWORD, new_password: NEW_PASSWORD }),
    'token_missing',
  );
  t.strictSame(await rowOf(database, 'users', `email_key = '${email}'`), before);
  for (const { access_token: live } of [own, other]) t.equal((await get('/v1/me', live)).statusCode, 200);
});

t.test('both passwords are read as typed on any keyboard', async (t) => {
  const email = 'kb@example.com';
  await register(email, 'of ﬁne Ｗaves');
  const { access_token: token } = await login(email, { password: 'of fine Waves' });
  clock.advance(1);
  t.equal((await change(token, 'of fine Waves', 'of ﬁne Ｈills')).statusCode, 204);
  t.equal((await post('/v1/login', { email, password: 'of fine Hills' })).statusCode, 200);
});

t.test('wrong current passwords count as guesses', async (t) => {
  const guarded = await startService(t, { database, keks, env: { LIMIT_FAILURES: '2' } });
  await guarded.register('guess@example.com');
  const { access_token: token } = await guarded.login('guess@example.com');
  const body = (current: string) => ({ current_password: current, new_password: NEW_PASSWORD });
  const headers = { authorization: `Bearer ${token}` };
  for (const guess of ['first guess', 'second guess']) {
    isProblem(t, await guarded.post('/v1/me/password', body(guess), headers), 403, 'wrong_password');
  }
  const blocked = await guarded.post('/v1/me/password', body(PASSWORD), headers);
  isProblem(t, blocked, 429, 'too_many_attempts');
  t.match(blocked.headers['retry-after'], /^[1-9]\d*$/);
});

t.test('of two changes at once one is made', async (t) => {
  const email = 'twice@example.com';
  await register(email);
  const [one, two] = [await login(email), await login(email)];
  clock.advance(1);
  const outcomes = await Promise.all([
    change(one.access_token, PASSWORD, 'the first of two walks'),
    change(two.access_token, PASSWORD, 'the second of two walks'),
  ]);
  // The other one finds its session ended, or its current password no longer current.
  t.equal(outcomes.filter(({ statusCode }) => statusCode === 204).length, 1, outcomes.map(outcomeOf).join(' and '));
  const logins = await Promise.all(
    ['the first of two walks', 'the second of two walks', PASSWORD].map((password) =>
      post('/v1/login', { email, password }),
    ),
  );
  t.equal(logins.filter(({ statusCode }) => statusCode === 200).length, 1);
  const live = await rowsOf(
    database,
    'sessions',
    `revoked_at IS NULL AND id IN ('${one.session_id}', '${two.session_id}')`,
  );
  t.equal(live.length, 1);
});

async function raceWithLogins(t: Test, service: TestService): Promise<void> {
  for (let round = 0; round < 6; round++) {
    const email = `race${round}@example.com`;
    const userId = await service.register(email);
    const own = await service.login(email);
    service.clock.advance(1);
    const oldLogin = () => service.post('/v1/login', { email, password: PASSWORD });
    const before = Array.from({ length: round }, oldLogin);
    const changing = service.post(
      '/v1/me/password',
      { current_password: PASSWORD, new_password: NEW_PASSWORD },
      { authorization: `Bearer ${own.access_token}` },
    );
    const [changed, ...logins] = await Promise.all([changing, ...before, ...Array.from({ length: 4 }, oldLogin)]);
    t.equal(changed.statusCode, 204);
    for (const login of logins) {
      if (login.statusCode === 200) {
        const { access_token: token, refresh_token: refreshToken } = login.json();
        isBearerRefusal(t, await service.get('/v1/me', token), 'token_revoked');
        isProblem(t, await service.refresh(refreshToken), 401, 'session_revoked');
      } else isProblem(t, login, 401, 'invalid_credentials');
    }
    const live = await rowsOf(service.database, 'sessions', `user_id = '${userId}' AND revoked_at IS NULL`);
    t.strictSame(
      live.map(({ id }) => id),
      [own.session_id],
      `round ${round}`,
    );
  }
}

t.test('a login with the old password that meets a change never leaves a live session', async (t) => {
  await t.test('on the embedded database', (t) => raceWithLogins(t, service));
  await t.test('on PostgreSQL', { skip: withoutPostgres }, async (t) => {
    await raceWithLogins(t, await startService(t, { database: await postgresDatabase(t) }));
  });
});
