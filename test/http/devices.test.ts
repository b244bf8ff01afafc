/** Failed attempts at an account, from wherever they come; and the devices that these do not concern. */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { isProblem } from '../support/answers.js';
import { fastDatabase } from '../support/databases.js';
import { codeOf, PASSWORD, rowsOf, startService, testKeks } from '../support/service.js';

const database = await fastDatabase(t);
const keks = testKeks();
const YEAR_S = 365 * 86_400;
let people = 0;
let addresses = 0;

async function setUp(t: Test, env: Record<string, string> = {}) {
  const service = await startService(t, { database, keks, env: { LIMIT_ACCOUNT_FAILURES: '3', ...env } });
  const email = `person${people++}@example.com`;
  const userId = await service.register(email);
  /** Each time from another address, unless it is told. */
  const login = (more: Record<string, unknown> = {}, remoteAddress = `198.51.100.${++addresses % 250}`) =>
    service.call({ method: 'POST', url: '/v1/login', remoteAddress, payload: { email, password: PASSWORD, ...more } });
  const guess = (n: number, of = email) =>
    Promise.all(Array.from({ length: n }, () => login({ email: of, password: 'a guess' })));
  const devices = () => rowsOf(database, 'devices', `user_id = '${userId}'`);
  return { service, email, userId, login, guess, devices };
}

t.test('guesses at an account slow it down, from wherever, and whether there is one or not', async (t) => {
  const { service, email, login, guess } = await setUp(t);
  for (const account of [email, `nobody${people}@example.com`]) {
    const answers = (await guess(3, account)).map(codeOf);
    t.strictSame(answers, ['invalid_credentials', 'invalid_credentials', 'invalid_credentials']);
    const shown: unknown[] = [];
    for (const delay of [1, 2, 4]) {
      const blocked = await login({ email: account });
      isProblem(t, blocked, 429, 'too_many_attempts');
      t.equal(blocked.headers['retry-after'], String(delay));
      service.clock.advance(delay);
      shown.push((await login({ email: account, password: 'a guess' })).statusCode);
    }
    t.strictSame(shown, [401, 401, 401]);
  }
  const other = await setUp(t);
  t.equal((await other.login()).statusCode, 200, 'others are not slowed down');
});

t.test('guesses at once from as many addresses get as many answers as the limit allows', async (t) => {
  const { guess, service } = await setUp(t, { LIMIT_ACCOUNT_FAILURES: '10' });
  const codes = (await guess(50)).map(codeOf);
  t.equal(codes.filter((code) => code === 'invalid_credentials').length, 10);
  t.equal(codes.filter((code) => code === 'too_many_attempts').length, 40);
  t.match(await service.metrics.text(), 'keyturn_limit_blocks_total{subject="account"} 1');
});

t.test('a device that has logged in before comes in while strangers guess, from a blocked address too', async (t) => {
  const { service, login, guess } = await setUp(t, { LIMIT_FAILURES: '3' });
  const { device_token: device } = (await login()).json();
  t.match(device, /^ktd_[A-Za-z0-9_-]{64}$/);
  await guess(5);
  t.equal(codeOf(await login()), 'too_many_attempts');
  const here = '192.0.2.9';
  for (let i = 0; i < 3; i++) await login({ email: 'nobody@example.com', password: 'a guess' }, here);
  t.equal(codeOf(await login({ email: 'another@example.com' }, here)), 'too_many_attempts');
  const known = await login({ device_token: device }, here);
  t.equal(known.statusCode, 200);
  t.equal(known.json().device_token, device, 'it stays the same');

  const guesses: string[] = [];
  for (let i = 0; i < 4; i++) guesses.push(codeOf(await login({ device_token: device, password: 'a guess' })));
  t.strictSame(
    guesses,
    ['invalid_credentials', 'invalid_credentials', 'invalid_credentials', 'too_many_attempts'],
    'it may not guess more often than others',
  );
  t.match(await service.metrics.text(), 'keyturn_limit_blocks_total{subject="device"} 1');
});

t.test('a device token is good for its account alone, for a year from the last login', async (t) => {
  const { service, login, devices } = await setUp(t);
  const other = await setUp(t);
  const first = (await login()).json().device_token;
  const isKnown = async (token: string, to = login) => {
    const response = await to({ device_token: token });
    t.equal(response.statusCode, 200, 'whatever it is, it is no error');
    return response.json().device_token === token;
  };
  t.notOk(await isKnown(first, other.login));
  const bytes = Buffer.from(first.slice(4), 'base64url');
  const forged = (at: number) => {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    return `ktd_${changed.toString('base64url')}`;
  };
  const bad = [forged(0), forged(20), forged(47), '', 'ktd_', `${first}A`, first.slice(0, -1), `ktr_${first.slice(4)}`];
  for (const token of [...bad, `ktd_${randomBytes(48).toString('base64url')}`]) t.notOk(await isKnown(token), token);
  isProblem(t, await login({ device_token: 7 }), 400, 'invalid_request');
  isProblem(t, await login({ device_token: 'x'.repeat(257) }), 400, 'invalid_request');

  service.clock.advance(YEAR_S - 10);
  t.ok(await isKnown(first));
  service.clock.advance(YEAR_S - 10);
  t.ok(await isKnown(first), 'its year begins anew with each login');
  t.equal((await devices()).length, 1, 'those that have expired are gone');
  service.clock.advance(YEAR_S);
  t.notOk(await isKnown(first));
  const stored = JSON.stringify(await devices());
  t.notMatch(stored, bytes.subarray(16).toString('hex'));
});

t.test('whoever is thrown out is not known any more; whoever logs out is', async (t) => {
  const { service, login } = await setUp(t);
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const [mine, his, third] = [(await login()).json(), (await login()).json(), (await login()).json()];
  const isKnown = async ({ device_token: token }: { device_token: string }) =>
    (await login({ device_token: token })).json().device_token === token;

  await service.call({ method: 'POST', url: '/v1/logout', ...bearer(third.access_token) });
  t.ok(await isKnown(third), 'after a logout');
  await service.call({ method: 'DELETE', url: `/v1/sessions/${his.session_id}`, ...bearer(mine.access_token) });
  t.notOk(await isKnown(his), 'after its session was ended');

  const password = { current_password: PASSWORD, new_password: PASSWORD };
  await service.post('/v1/me/password', password, bearer(mine.access_token).headers);
  t.notOk(await isKnown(third), 'after a change of the password elsewhere');
  t.ok(await isKnown(mine), 'but for the one that changed it');

  const last = (await login()).json();
  await service.call({ method: 'DELETE', url: '/v1/sessions?include_current=true', ...bearer(last.access_token) });
  t.notOk(await isKnown(last), 'after all sessions were ended');
  t.notOk(await isKnown(mine));
});

t.test('a stolen refresh token that ends its session has the device forgotten', async (t) => {
  const { service, login } = await setUp(t);
  const { refresh_token: stolen, device_token: device } = (await login()).json();
  const { refresh_token: next } = (await service.refresh(stolen)).json();
  await service.refresh(next);
  service.clock.advance(60);
  t.equal(codeOf(await service.refresh(stolen)), 'refresh_token_reused');
  t.not((await login({ device_token: device })).json().device_token, device);
});

t.test('with header delivery the body has the device token, and no other', async (t) => {
  const { service, login } = await setUp(t);
  const client = { clientId: `web${people}`, name: 'Web', type: 'public', audiences: ['api'] } as const;
  await service.services.clients.create({ ...client, tokenDelivery: 'header' });
  const response = await login({ client_id: client.clientId });
  t.strictSame(Object.keys(response.json()).sort(), ['device_token', 'expires_in', 'session_id']);
  const again = await login({ client_id: client.clientId, device_token: response.json().device_token });
  t.equal(again.json().device_token, response.json().device_token);
});

t.test('a wrong current password is counted for its session, and does not slow the owner down', async (t) => {
  const { service, login } = await setUp(t);
  const { access_token: token } = (await login()).json();
  const change = (current: string) =>
    service.call({
      method: 'POST',
      url: '/v1/me/password',
      remoteAddress: `198.51.100.${++addresses % 250}`,
      headers: { authorization: `Bearer ${token}` },
      payload: { current_password: current, new_password: PASSWORD },
    });
  for (let i = 0; i < 3; i++) t.equal(codeOf(await change('a guess')), 'wrong_password');
  t.equal(codeOf(await change(PASSWORD)), 'too_many_attempts');
  t.equal((await login()).statusCode, 200);
});

t.test('the audit trail tells whose account was slowed down, and keeps no e-mail of nobody', async (t) => {
  const { service, guess, userId } = await setUp(t);
  const nobody = `nobody-at-all${people}@example.com`;
  await guess(3);
  await guess(3, nobody);
  service.clock.advance(1);
  await service.services.blocks.tell();
  const events = await rowsOf(database, 'audit_events', `event LIKE 'account.%' ORDER BY id DESC LIMIT 4`);
  t.match(
    events.map(({ event, user_id: user }) => [event, user]).sort(),
    [
      ['account.blocked', userId],
      ['account.blocked', null],
      ['account.unblocked', userId],
      ['account.unblocked', null],
    ].sort(),
  );
  t.notMatch(JSON.stringify(events), nobody);
});
