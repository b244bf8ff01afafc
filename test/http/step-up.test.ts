/** A session that was copied goes on with the password of its user alone. */
import t from 'tap';
import { atHome, seeded, stolen } from '../support/at-home.js';
import { fastDatabase } from '../support/databases.js';
import { CURL, FAR } from '../support/detection.js';
import { oauthOf } from '../support/oauth.js';
import { codeOf, PASSWORD, rowOf, type Tokens } from '../support/service.js';
import { claimsOf, delivered } from '../support/sliding.js';

const database = await fastDatabase(t);
const MINUTE = 60;
const HOUR = 3600;

t.test('with the policy step_up the session goes on with the password alone', async (t) => {
  const { service, current, events, row, refreshAt, home, far } = await stolen(t, 'step_up', { database });
  for (const [there, key] of [
    [home, 'k2'],
    [far, 'k2'],
    [far, undefined],
  ] as const) {
    const refused = await refreshAt(there, current.refresh_token, key);
    t.strictSame([refused.statusCode, codeOf(refused)], [401, 'password_required']);
    t.match(refused.headers['www-authenticate'], /^Bearer .*error="insufficient_user_authentication"/);
  }
  t.equal(
    (await service.get('/v1/me', current.access_token)).statusCode,
    200,
    'the access token is good until its end',
  );

  const wrong = await refreshAt(far, current.refresh_token, 'k2', { password: 'not the password' });
  t.strictSame([wrong.statusCode, codeOf(wrong)], [403, 'wrong_password']);
  t.equal(codeOf(await refreshAt(home, current.refresh_token, 'k2')), 'password_required');

  const right = await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  t.equal(right.statusCode, 200);
  t.equal(right.headers['keyturn-refresh-outcome'], 'rotated');
  t.match(await row(), { step_up_at: null });
  const names = (await events()).map(({ event }) => event);
  t.strictSame(names, ['session.flagged', 'session.step_up_failed', 'session.stepped_up']);
  const next: Tokens = right.json();
  t.equal((await refreshAt(home, next.refresh_token, 'k3')).statusCode, 200, 'and then without it');
});

t.test('what was said before the demand is not repeated without the password, and is with it', async (t) => {
  const { tokens, current, row, events, refreshAt, home, far } = await stolen(t, 'step_up', { database });
  // The thief has the user's key as well; he may not even have got the answer.
  t.equal(codeOf(await refreshAt(far, tokens.refresh_token, 'k1')), 'password_required');
  t.equal(codeOf(await refreshAt(far, tokens.refresh_token)), 'password_required', 'nor within the leeway');
  const replay = await refreshAt(home, tokens.refresh_token, 'k1', { password: PASSWORD });
  t.equal(replay.headers['keyturn-refresh-outcome'], 'replayed');
  t.equal(replay.json().refresh_token, current.refresh_token);
  t.match(await row(), { generation: 1 });
  t.match((await events()).at(-1), { event: 'session.stepped_up', details: { outcome: 'replayed' } });
});

t.test('the password with a repetition opens nothing to the thief, who has the same successor', async (t) => {
  const { tokens, current, row, refreshAt, home, far } = await stolen(t, 'step_up', { database });
  const replay = await refreshAt(home, tokens.refresh_token, 'k1', { password: PASSWORD });
  t.equal(replay.json().refresh_token, current.refresh_token);
  t.equal(codeOf(await refreshAt(far, current.refresh_token, 'k9')), 'password_required');
  const right = await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  t.equal(right.headers['keyturn-refresh-outcome'], 'rotated');
  t.match(await row(), { step_up_at: null, generation: 2 });
});

t.test('of parallel requests with the password and one key one rotates, and all get the same', async (t) => {
  const { current, events, refreshAt, home } = await stolen(t, 'step_up', { database });
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD })),
  );
  t.equal(new Set(answers.map((answer) => answer.json().refresh_token)).size, 1);
  const outcomes = answers.map(({ headers }) => headers['keyturn-refresh-outcome']);
  t.equal(outcomes.filter((outcome) => outcome === 'rotated').length, 1);
  t.equal((await events()).filter(({ event }) => event === 'session.stepped_up').length, 1);
});

t.test('a password that nobody has asked for is not looked at', async (t) => {
  const { refreshAt, home, tokens } = await stolen(t, 'observe', { database });
  const answer = await refreshAt(home, tokens.refresh_token, 'k1', { password: 'not the password' });
  t.equal(answer.headers['keyturn-refresh-outcome'], 'replayed');
});

t.test('a token that is no more than old ends the session, whatever is demanded', async (t) => {
  const { tokens, clock, refreshAt, far } = await stolen(t, 'step_up', { database });
  clock.advance(HOUR);
  t.equal(codeOf(await refreshAt(far, tokens.refresh_token, 'k2-8c1f0e')), 'refresh_token_reused');
});

t.test('wrong passwords are counted once each, for the session and the address', async (t) => {
  const { current, refreshAt, far, home, loginAt } = await stolen(t, 'step_up', {
    database,
    env: { LIMIT_FAILURES: '4' },
  });
  const guess = () => refreshAt(far, current.refresh_token, 'k2', { password: 'a guess' });
  for (let i = 0; i < 3; i++) t.equal(codeOf(await guess()), 'wrong_password');
  t.equal((await loginAt(far)).statusCode, 200, 'the address is not blocked by three');
  t.equal(codeOf(await guess()), 'wrong_password');
  const blocked = await refreshAt(home, current.refresh_token, 'k2', { password: PASSWORD });
  t.equal(codeOf(blocked), 'too_many_attempts', 'nobody goes on guessing at this session');
  t.equal(codeOf(await loginAt(far)), 'too_many_attempts');
});

t.test('at the token endpoint it is an invalid grant that says why', async (t) => {
  const { service, current, name } = await stolen(t, 'step_up', { database });
  const form = { grant_type: 'refresh_token', refresh_token: current.refresh_token, client_id: name };
  const answer = await oauthOf(service).send('/oauth/token', form);
  t.equal(answer.statusCode, 400);
  t.match(answer.json(), { error: 'invalid_grant', error_description: /password/ });
});

t.test('a token in a header is not renewed while the password is due, and good to its end', async (t) => {
  const more = { tokenDelivery: 'header', idleTtl: 12 * HOUR, accessTokenTtl: 12 * HOUR } as const;
  const who = await atHome(t, 'step_up', { database, more });
  const { service, clock, detect, home, loginAt, userId } = who;
  const ask = (token: string, remoteAddress: string, userAgent: string) =>
    service.call({
      method: 'GET',
      url: '/v1/me',
      remoteAddress,
      headers: { authorization: `Bearer ${token}`, 'user-agent': userAgent },
    });
  await seeded(who);
  const token = delivered(await loginAt(home)) ?? '';
  await detect();
  const { sid } = claimsOf(token);
  clock.advance(10 * MINUTE);
  t.not(delivered(await ask(token, FAR, CURL)), null, 'the use by which it was found out');
  await detect();
  t.not((await rowOf(database, 'sessions', `id = '${sid}'`)).step_up_at, null);
  clock.advance(10 * MINUTE);
  const answer = await ask(token, FAR, CURL);
  t.equal(answer.statusCode, 200);
  t.equal(answer.json().id, userId);
  t.equal(delivered(answer), null);
});
