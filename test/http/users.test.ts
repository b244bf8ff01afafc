/** POST /v1/users and GET /v1/me: who may register, with what, and what is shown of it. */
import t from 'tap';
import { isProblem } from '../support/answers.js';
import { execute, PASSWORD, rowOf, rowsOf, startService } from '../support/service.js';

const { call, post, get, login, database, clock } = await startService(t);
const register = (email: unknown, password: unknown = PASSWORD) => post('/v1/users', { email, password });

const atFirst = {
  users: await rowsOf(database, 'users'),
  secrets: await rowsOf(database, 'clients', 'secret_hash IS NOT NULL'),
};

t.test('a new service has no accounts, and no client with a secret', async (t) => {
  t.same(atFirst, { users: [], secrets: [] });
});

t.test('a person who registers is shown as typed, and nothing of the password', async (t) => {
  const response = await register('  Grace.Hopper@Example.COM ');
  t.equal(response.statusCode, 201);
  const { id, ...rest } = response.json();
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const created = new Date(clock.now()).toISOString();
  t.strictSame(rest, { email: 'Grace.Hopper@Example.COM', email_verified: false, created_at: created });
  t.equal(response.headers['cache-control'], 'no-store');

  const { access_token: token } = await login('grace.hopper@example.com');
  const me = await get('/v1/me', token);
  t.equal(me.statusCode, 200);
  t.strictSame(me.json(), { id, ...rest });

  t.match(await rowOf(database, 'users', `id = '${id}'`), {
    password_hash: /^\$argon2id\$/,
    roles: [],
    disabled_at: null,
  });
  const audit = await rowsOf(database, 'audit_events', `user_id = '${id}' AND event = 'user.created'`);
  t.match(audit, [
    { outcome: 'success', actor: `user:${id}`, ip: '127.0.0.1', request_id: response.headers['x-request-id'] },
  ]);
});

t.test('an e-mail is taken however it is spelled', async (t) => {
  t.equal((await register('Zoë.Ångström@example.com')).statusCode, 201);
  const before = await rowsOf(database, 'audit_events');
  const spellings = ['zoë.ångström@example.com', 'ZOË.ÅNGSTRÖM@EXAMPLE.COM', ' Zoë.Ångström@example.com\t'];
  for (const spelling of spellings.flatMap((text) => [text.normalize('NFC'), text.normalize('NFD')])) {
    isProblem(t, await register(spelling), 409, 'email_taken', JSON.stringify(spelling));
  }
  t.equal((await rowsOf(database, 'users', `email_key LIKE 'zo%'`)).length, 1);
  t.equal((await rowsOf(database, 'audit_events')).length, before.length, 'nothing was created');
});

t.test('of many who register one e-mail at once, one does', async (t) => {
  const responses = await Promise.all(
    Array.from({ length: 10 }, (_, i) => register(i % 2 === 0 ? 'race@example.com' : 'Race@Example.com')),
  );
  t.strictSame(responses.map(({ statusCode }) => statusCode).sort(), [201, ...Array(9).fill(409)]);
  t.equal((await rowsOf(database, 'users', `email_key = 'race@example.com'`)).length, 1);
});

t.test('what is no e-mail address is refused', async (t) => {
  const wrong = [
    'no-at-sign',
    '@example.com',
    'ada@',
    'a@b@c',
    'ada lovelace@example.com',
    'ada@exa\u0000mple.com',
    'ada@example\u200b.com',
    `${'a'.repeat(65)}@example.com`,
    `ada@${'e'.repeat(251)}`,
    7,
    null,
  ];
  for (const email of wrong) isProblem(t, await register(email), 400, 'invalid_request', String(email).slice(0, 20));
  t.equal((await register(`${'a'.repeat(64)}@${'e'.repeat(189)}`)).statusCode, 201, '254 characters are fine');
});

t.test('a password that is not acceptable is refused with every reason', async (t) => {
  const reasonsOf = async (password: string, email = 'reasons@example.com') => {
    const response = await register(email, password);
    isProblem(t, response, 422, 'password_rejected', password.slice(0, 20));
    t.notMatch(response.body, password, 'the password is not repeated');
    return response.json().reasons;
  };
  t.strictSame(await reasonsOf('sea wlk'), ['too_short']);
  t.strictSame(await reasonsOf('🌊🌊🌊🌊🌊🌊🌊'), ['too_short'], 'characters count, not code units');
  t.strictSame(await reasonsOf('x'.repeat(129)), ['too_long']);
  t.strictSame(await reasonsOf('password123'), ['too_common']);
  t.strictSame(await reasonsOf('PassWord123'), ['too_common'], 'in any case');
  t.strictSame(await reasonsOf('ｐａｓｓｗｏｒｄ１２３'), ['too_common'], 'in any form');
  t.strictSame(await reasonsOf('my Reasons are my own'), ['contains_email']);
  t.strictSame(await reasonsOf('abc@EXAMPLE.com!', 'abc@example.com'), ['contains_email']);
  t.strictSame(await reasonsOf('qwerty', 'qwerty@example.com'), ['too_short', 'too_common', 'contains_email']);
  t.equal((await register('reasons@example.com', `${'x'.repeat(127)}🌊`)).statusCode, 201, '128 characters are fine');
  t.equal((await register('abc@example.com', 'abcdefgh-ijkl')).statusCode, 201, 'a short local part tells little');
});

t.test('a password may hold any characters, and is not trimmed', async (t) => {
  const password = ' päss\twörd\u0000🌊 ';
  t.equal((await register('any@example.com', password)).statusCode, 201);
  t.equal((await post('/v1/login', { email: 'any@example.com', password })).statusCode, 200);
  t.equal((await post('/v1/login', { email: 'any@example.com', password: password.trim() })).statusCode, 401);
});

t.test('a password is good however old it is', async (t) => {
  const email = 'old@example.com';
  t.equal((await register(email)).statusCode, 201);
  await execute(
    database,
    `UPDATE users SET password_changed_at = password_changed_at - interval '10 years' WHERE email_key = '${email}'`,
  );
  t.equal((await post('/v1/login', { email, password: PASSWORD })).statusCode, 200);
});

t.test('a body is taken as it should be or not at all', async (t) => {
  const email = 'body@example.com';
  const bodies: Record<string, unknown> = {
    'no password': { email },
    'no e-mail': { password: PASSWORD },
    'an unknown member': { email, password: PASSWORD, roles: ['admin'] },
    'a list': [email, PASSWORD],
    null: null,
    'an empty password': { email, password: '' },
  };
  for (const [name, body] of Object.entries(bodies)) {
    isProblem(t, await post('/v1/users', body), 400, 'invalid_request', name);
  }
  t.match((await post('/v1/users', bodies['an unknown member'])).json().detail, '"roles"', 'it is named');
  t.equal((await rowsOf(database, 'users', `email_key = '${email}'`)).length, 0);

  const send = (payload: string, type: string | undefined, url = '/v1/users') =>
    call({ method: 'POST', url, payload, headers: type === undefined ? {} : { 'content-type': type } });
  const json = JSON.stringify({ email, password: PASSWORD });
  isProblem(t, await send(json, 'text/plain'), 415, 'unsupported_media_type');
  isProblem(t, await send(json, undefined), 415, 'unsupported_media_type', 'no media type');
  isProblem(t, await send(json, 'application/json; charset=latin1'), 415, 'unsupported_media_type', 'latin1');
  isProblem(
    t,
    await send(`${json.slice(0, -1)},"email":"eve@example.com"}`, 'application/json'),
    400,
    'invalid_request',
  );
  isProblem(t, await send(json.padEnd(16 * 1024 + 1), 'application/json'), 413, 'payload_too_large');
  isProblem(t, await send(json, 'application/json', '/v1/users?x=1'), 400, 'invalid_request', 'an unknown query');
  t.equal((await send(json.padEnd(16 * 1024), 'application/json; charset=UTF-8')).statusCode, 201, '16 KiB are fine');
});

t.test('other methods are not there', async (t) => {
  const response = await call({ method: 'GET', url: '/v1/users' });
  isProblem(t, response, 405, 'method_not_allowed');
  t.equal(response.headers.allow, 'POST');
});
