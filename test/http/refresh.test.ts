import t, { type Test } from 'tap';
import { formatRefreshToken } from '../../src/domain/refresh-token.js';
import type { SessionId } from '../../src/domain/types.js';
import { fastDatabase, onEachDatabase } from '../support/databases.js';
import {
  codeOf,
  execute,
  PASSWORD,
  rowOf,
  rowsOf,
  startService,
  type TestService,
  type Tokens,
  testKeks,
} from '../support/service.js';
import { tampered } from '../support/sessions.js';

const CALLERS = 50;
const outcomeOf = (response: { headers: Record<string, unknown> }) => response.headers['keyturn-refresh-outcome'];

// One database for the file, since opening one is what takes the time; each test has a person and a clock of its own.
const database = await fastDatabase(t);
const keks = testKeks();
let people = 0;

async function loggedIn(t: Test, env: Record<string, string> = {}) {
  const service = await startService(t, { env, database, keks });
  const email = `person-${++people}@example.com`;
  const userId = await service.register(email);
  return { service, email, userId, tokens: await service.login(email) };
}

const sessionRow = (service: TestService, tokens: Tokens) =>
  rowOf(service.database, 'sessions', `id = '${tokens.session_id}'`);

t.test('a refresh rotates: new tokens, the next generation', async (t) => {
  const { service, tokens } = await loggedIn(t);
  service.clock.advance(60);
  const response = await service.refresh(tokens.refresh_token, 'k1');
  t.equal(response.statusCode, 200);
  t.equal(outcomeOf(response), 'rotated');
  const next: Tokens = response.json();
  t.not(next.refresh_token, tokens.refresh_token);
  t.not(next.access_token, tokens.access_token);
  t.match(next, {
    token_type: 'Bearer',
    expires_in: 900,
    session_id: tokens.session_id,
    refresh_token_expires_in: 14 * 86_400,
  });
  t.equal((await service.get('/v1/me', next.access_token)).statusCode, 200);
  t.match(await sessionRow(service, tokens), { generation: 1 });
});

t.test('a retry with its key gets the lost answer to the byte', async (t) => {
  const { service, tokens } = await loggedIn(t);
  const lost = await service.refresh(tokens.refresh_token, 'k1');
  service.clock.advance(449);
  const retry = await service.refresh(tokens.refresh_token, 'k1');
  t.equal(retry.statusCode, 200);
  t.equal(outcomeOf(retry), 'replayed');
  t.equal(retry.json().access_token, lost.json().access_token);
  t.equal(retry.json().refresh_token, lost.json().refresh_token);
  t.equal(retry.json().expires_in, 451);
});

t.test('past half of its life a replay comes with a fresh access token and the same refresh token', async (t) => {
  const { service, tokens } = await loggedIn(t);
  const lost = await service.refresh(tokens.refresh_token, 'k1');
  service.clock.advance(3 * 86_400);
  const retry = await service.refresh(tokens.refresh_token, '"k1"');
  t.equal(outcomeOf(retry), 'replayed');
  t.equal(retry.json().refresh_token, lost.json().refresh_token);
  t.not(retry.json().access_token, lost.json().access_token);
  t.equal(retry.json().expires_in, 900);
  t.equal((await service.get('/v1/me', retry.json().access_token)).statusCode, 200);
});

t.test('two refreshes at once, as on app resume, get the same tokens without any key', async (t) => {
  const { service, tokens } = await loggedIn(t);
  const [a, b] = await Promise.all([service.refresh(tokens.refresh_token), service.refresh(tokens.refresh_token)]);
  t.same([a, b].map(outcomeOf).sort(), ['concurrent', 'rotated']);
  t.equal(a.json().refresh_token, b.json().refresh_token);
  t.equal(a.json().access_token, b.json().access_token);
  const next = await service.refresh(a.json().refresh_token);
  t.equal(outcomeOf(next), 'rotated', 'and the client goes on with them');
});

t.test('the key of the latest rotation on the new token is refused, and the session lives', async (t) => {
  const { service, tokens } = await loggedIn(t);
  const { refresh_token: next } = (await service.refresh(tokens.refresh_token, 'k1')).json();
  const response = await service.refresh(next, 'k1');
  t.equal(response.statusCode, 422);
  t.equal(codeOf(response), 'idempotency_key_reused');
  t.equal((await service.refresh(next, 'k2')).statusCode, 200);
});

t.test('a late duplicate is told that it was superseded, and the session lives', async (t) => {
  const { service, tokens } = await loggedIn(t);
  const { refresh_token: second } = (await service.refresh(tokens.refresh_token, 'k1')).json();
  const { refresh_token: third } = (await service.refresh(second, 'k2')).json();
  service.clock.advance(3600);
  const late = await service.refresh(tokens.refresh_token, 'k1');
  t.equal(late.statusCode, 409);
  t.equal(codeOf(late), 'refresh_superseded');
  t.equal((await service.refresh(third, 'k3')).statusCode, 200);
});

t.test('a stolen token ends the session, whoever of the two comes second', async (t) => {
  for (const thiefFirst of [true, false]) {
    const { service, email, tokens } = await loggedIn(t);
    const other = await service.login(email);
    const first = await service.refresh(tokens.refresh_token, thiefFirst ? 'thief' : 'owner');
    service.clock.advance(11);
    const second = await service.refresh(tokens.refresh_token, thiefFirst ? 'owner' : 'thief');
    t.equal(second.statusCode, 401);
    t.equal(codeOf(second), 'refresh_token_reused');
    t.ok(second.headers['www-authenticate']);
    t.match(await sessionRow(service, tokens), { revoke_reason: 'refresh_token_reused' });
    const audit = `event = 'refresh.reused' AND session_id = '${tokens.session_id}'`;
    t.match(await rowOf(database, 'audit_events', audit), { ip: '127.0.0.1' });

    const after = await service.refresh(first.json().refresh_token, 'x');
    t.equal(codeOf(after), 'session_revoked', 'no refresh token of it works after');
    t.equal(codeOf(await service.get('/v1/me', first.json().access_token)), 'token_revoked', 'and no access token');
    t.equal((await service.refresh(other.refresh_token)).statusCode, 200, 'other sessions of the user go on');
  }
});

t.test('what was never issued is refused, and changes nothing', async (t) => {
  const { service, tokens } = await loggedIn(t);
  const before = await sessionRow(service, tokens);
  for (const token of [
    'x',
    tokens.access_token,
    tampered(tokens.refresh_token, 'tag'),
    tampered(tokens.refresh_token, 'secret'),
    formatRefreshToken(tokens.session_id as SessionId, 2 ** 32 - 1, new Uint8Array(32), new Uint8Array(32)),
    `${tokens.refresh_token}=`,
    tokens.refresh_token.slice(0, -1),
  ]) {
    const response = await service.refresh(token);
    t.equal(response.statusCode, 401);
    t.equal(codeOf(response), 'invalid_refresh_token');
  }
  t.same(await sessionRow(service, tokens), before);
});

t.test('a token newer than a restored database is refused and noted; the session lives', async (t) => {
  const { service, email, tokens } = await loggedIn(t, { LIMIT_FAILURES: '1' });
  const backup = await sessionRow(service, tokens);
  const { refresh_token: next } = (await service.refresh(tokens.refresh_token)).json();
  const hex = Buffer.from(backup.current_hash as Uint8Array).toString('hex');
  const restore = `generation = 0, current_hash = '\\x${hex}', previous_hash = NULL, rotations = '[]'`;
  await execute(database, `UPDATE sessions SET ${restore} WHERE id = '${tokens.session_id}'`);
  t.equal(codeOf(await service.refresh(next)), 'invalid_refresh_token');
  t.equal((await rowsOf(database, 'audit_events', `event = 'refresh.ahead_of_store'`)).length, 1);
  t.ok((await service.login(email)).refresh_token, 'and nobody has guessed: the address is not blocked');
  t.equal((await service.refresh(tokens.refresh_token)).statusCode, 200);
});

t.test('idle and absolute ends, and a disabled account', async (t) => {
  const idle = await loggedIn(t);
  idle.service.clock.advance(14 * 86_400);
  t.equal(codeOf(await idle.service.refresh(idle.tokens.refresh_token)), 'session_expired');

  const absolute = await loggedIn(t);
  let token = absolute.tokens.refresh_token;
  for (let day = 10; day < 90; day += 10) {
    absolute.service.clock.advance(10 * 86_400);
    const response = await absolute.service.refresh(token);
    t.equal(response.statusCode, 200);
    t.ok(response.json().refresh_token_expires_in <= (90 - day) * 86_400);
    token = response.json().refresh_token;
  }
  absolute.service.clock.advance(10 * 86_400);
  t.equal(codeOf(await absolute.service.refresh(token)), 'session_expired');

  const disabled = await loggedIn(t);
  await execute(database, `UPDATE users SET disabled_at = now() WHERE id = '${disabled.userId}'`);
  const response = await disabled.service.refresh(disabled.tokens.refresh_token);
  t.equal(response.statusCode, 401);
  t.equal(codeOf(response), 'account_disabled');
});

t.test('a node that may not sign changes nothing before it says so', async (t) => {
  const { service, email, userId, tokens } = await loggedIn(t);
  const post = (url: string, payload: object) =>
    service.app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } });
  // Nothing has read the keys for too long.
  service.clock.advance(601);
  for (const refused of [
    await post('/v1/refresh', { refresh_token: tokens.refresh_token }),
    await post('/v1/login', { email, password: PASSWORD }),
  ]) {
    t.equal(refused.statusCode, 503);
    t.equal(codeOf(refused), 'signing_key_unavailable');
    t.equal(refused.headers['retry-after'], '30');
  }
  t.match(await sessionRow(service, tokens), { generation: 0 });
  t.equal((await rowsOf(database, 'sessions', `user_id = '${userId}'`)).length, 1, 'no session that nobody holds');
  service.clock.advance(30);
  t.equal(outcomeOf(await service.refresh(tokens.refresh_token)), 'rotated', 'even without a key nothing is lost');
});

t.test('the windows are the configured ones', async (t) => {
  const { service, tokens } = await loggedIn(t, { REFRESH_REPLAY_WINDOW: '1m', REFRESH_REUSE_LEEWAY: '0' });
  await service.refresh(tokens.refresh_token, 'k1');
  service.clock.advance(59);
  t.equal(outcomeOf(await service.refresh(tokens.refresh_token, 'k1')), 'replayed');
  service.clock.advance(1);
  t.equal(codeOf(await service.refresh(tokens.refresh_token, 'k1')), 'refresh_token_reused');
});

t.test('a bad Idempotency-Key is refused before anything is done', async (t) => {
  const { service, tokens } = await loggedIn(t);
  for (const key of ['', ' ', 'a b', 'x'.repeat(256), '""']) {
    const response = await service.refresh(tokens.refresh_token, key);
    t.equal(response.statusCode, 400);
    t.equal(codeOf(response), 'invalid_idempotency_key');
  }
  t.match(await sessionRow(service, tokens), { generation: 0 });
});

t.test('a row does not grow, however often it is refreshed', async (t) => {
  const { service, userId, tokens } = await loggedIn(t);
  const size = async () => {
    const statement = { name: 'size', text: 'SELECT pg_column_size(s.*)::int AS size FROM sessions s WHERE id = $1' };
    return (await service.database.query<{ size: number }>(statement, [tokens.session_id]))[0]?.size ?? 0;
  };
  let token = tokens.refresh_token;
  const sizes: number[] = [];
  for (let n = 1; n <= 40; n++) {
    service.clock.advance(60);
    token = (await service.refresh(token, `some-key-${n}`)).json().refresh_token;
    sizes.push(await size());
  }
  t.same(new Set(sizes.slice(4)).size, 1);
  t.equal((await rowsOf(database, 'sessions', `user_id = '${userId}'`)).length, 1);
});

t.test(`${CALLERS} parallel refreshes with one token`, (t) =>
  onEachDatabase(t, async (t, database) => {
    const service = await startService(t, { database });
    await service.register();
    for (const [name, keyOf] of [
      ['the same key', () => 'same'],
      ['different keys', (n: number) => `key-${n}`],
      ['no key', () => undefined],
    ] as const) {
      const tokens = await service.login();
      const responses = await Promise.all(
        Array.from({ length: CALLERS }, (_, n) => service.refresh(tokens.refresh_token, keyOf(n))),
      );
      t.same(new Set(responses.map(({ statusCode }) => statusCode)), new Set([200]), `${name}: all are answered`);
      t.equal(responses.filter((r) => outcomeOf(r) === 'rotated').length, 1, `${name}: one rotated`);
      t.equal(new Set(responses.map((r) => r.json().refresh_token)).size, 1, `${name}: one refresh token`);
      t.equal(new Set(responses.map((r) => r.json().access_token)).size, 1, `${name}: one access token`);
      t.match(await rowOf(database, 'sessions', `id = '${tokens.session_id}'`), { generation: 1 });
    }
  }),
);
