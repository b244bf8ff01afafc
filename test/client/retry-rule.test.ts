/** The client's half of the promise: whatever the network does, it never logs itself out. */
import t from 'tap';
import { NO_ANSWER } from '../../src/client/http.js';
import { createAuthClient, memoryStorage } from '../../src/client/index.js';
import { pauseBefore } from '../../src/client/retry.js';
import {
  answered,
  CREDENTIALS,
  claimsOf,
  clientWorld,
  EXPIRED,
  type Fault,
  held,
  lost,
  unanswered,
} from '../support/auth-client.js';
import { eventually, generationOf } from '../support/process.js';
import { rowOf } from '../support/service.js';

const portal: Fault = answered(200, '<html>Welcome to our hotel</html>', { 'content-type': 'text/html' });
const proxy: Fault = answered(401, '<html>Who are you?</html>', { 'content-type': 'text/html' });
const empty: Fault = async () => new Response(null, { status: 204 });
const unwell: Fault = answered(503, { code: 'store_unavailable' });

t.test('pauses grow, are drawn, and are never shorter than what the service asks for', async (t) => {
  let drawn = 0;
  t.intercept(Math, 'random', { value: () => drawn });
  t.same(
    [0, 1, 2, 20].map((attempt) => pauseBefore(attempt, NO_ANSWER)),
    [0, 0, 0, 0],
  );
  t.equal(pauseBefore(20, { ...NO_ANSWER, retryAfter: 7 }), 7_000);
  drawn = 0.5;
  t.same(
    [0, 1, 2, 20].map((attempt) => pauseBefore(attempt, NO_ANSWER)),
    [150, 300, 600, 5_000],
  );
  t.equal(pauseBefore(0, { ...NO_ANSWER, retryAfter: 7 }), 7_500);
});

t.test('the retry rule', async (t) => {
  const { service, advance, loggedIn } = await clientWorld(t);
  // The pauses between two tries become as short as they can be.
  t.intercept(Math, 'random', { value: () => 0.01 });

  await t.test('callers share one refresh', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const tokens = await Promise.all(Array.from({ length: 20 }, () => one.auth.getAccessToken()));
    t.equal(new Set(tokens).size, 1);
    t.equal(one.net.sent.length, 1);
  });

  await t.test('the key is stored before the request is sent, and goes with its token', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    let stored: Awaited<ReturnType<typeof one.stored>> = null;
    one.net.faults.push(async (send) => {
      stored = await one.stored();
      return send();
    });
    await one.auth.getAccessToken();
    const [sent] = one.net.sent;
    t.match(sent?.key, /^[0-9a-f]{32}$/);
    t.match(stored, { key: sent?.key, refreshToken: sent?.body.refresh_token });
    const after = await one.stored();
    t.match(after?.key, /^[0-9a-f]{32}$/);
    t.not(after?.key, sent?.key);
    t.not(after?.refreshToken, sent?.body.refresh_token);
  });

  await t.test('an answer that cannot be stored is asked for again', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const full = { ...one.options.storage, set: () => Promise.reject(new Error('the disk is full')) };
    const auth = createAuthClient({ ...one.options, storage: full });
    await t.rejects(auth.getAccessToken(), { message: 'the disk is full' });
    t.ok(await one.auth.getAccessToken());
    t.equal(new Set(one.net.sent.map(({ key }) => key)).size, 1);
    t.equal(generationOf((await one.stored())?.refreshToken ?? ''), 1, 'it was a replay');
  });

  await t.test('a crash that loses what was stored last does no harm: the token before has its key', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const before = await one.stored();
    await one.auth.getAccessToken();
    const after = await one.stored();
    // localStorage is not flushed: a phone that kills the browser takes the last seconds with it.
    await one.restart(before ?? {});
    await advance(3_600);
    t.ok(await one.auth.getAccessToken());
    t.equal((await one.stored())?.refreshToken, after?.refreshToken);
  });

  await t.test('token and key stay the same until an answer arrives, whatever arrives in its place', async (t) => {
    const one = await loggedIn();
    const before = String((await one.stored())?.refreshToken);
    await one.restart(EXPIRED);
    one.net.faults.push(lost, unanswered, unwell, portal, proxy, empty, unanswered);
    t.ok(await one.auth.getAccessToken());
    t.equal(one.net.sent.length, 8);
    t.equal(new Set(one.net.sent.map(({ key, body }) => `${key} ${body.refresh_token}`)).size, 1);
    const after = String((await one.stored())?.refreshToken);
    t.equal(generationOf(after), generationOf(before) + 1, 'one rotation came of all of them');
  });

  await t.test('an app that is killed in the middle goes on with the same key', async (t) => {
    const one = await loggedIn({ patience: 0 });
    await one.restart(EXPIRED);
    one.net.faults.push(unanswered);
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable' });
    await advance(3 * 86_400);
    await one.restart();
    t.ok(await one.auth.getAccessToken(), 'three days later too');
    t.equal(new Set(one.net.sent.map(({ key }) => key)).size, 1);
    t.equal(one.net.sent.length, 2);
  });

  await t.test('patience has an end, and nothing is lost by it', async (t) => {
    const one = await loggedIn({ patience: 200 });
    await one.restart(EXPIRED);
    one.net.faults.push(...Array.from({ length: 50 }, () => lost));
    await t.rejects(one.auth.getAccessToken(), { name: 'AuthError', code: 'unavailable' });
    one.net.faults.splice(0);
    t.ok(await one.auth.getAccessToken());
  });

  await t.test('Retry-After is honoured, by later calls too', async (t) => {
    const one = await loggedIn({ patience: 500 });
    await one.restart(EXPIRED);
    one.net.faults.push(answered(429, { code: 'too_many_requests' }, { 'retry-after': '60' }));
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable', status: 429, retryAfter: 60 });
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable', status: 429, retryAfter: 60 });
    t.equal(one.net.sent.length, 1, 'the service is left alone');
  });

  await t.test('Retry-After may be a date, by the clock of who sends it', async (t) => {
    const one = await loggedIn({ patience: 500 });
    await one.restart(EXPIRED);
    const date = 'Sun, 06 Nov 1994 08:49:37 GMT';
    one.net.faults.push(answered(503, 'busy', { date, 'retry-after': 'Sun, 06 Nov 1994 08:51:37 GMT' }));
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable', retryAfter: 120 });
  });

  await t.test('another tab’s answer is taken from the storage instead of asking again', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const other = createAuthClient(one.options);
    const first = await one.auth.getAccessToken();
    t.equal(await other.getAccessToken(), first);
    t.equal(one.net.sent.length, 1);
  });

  await t.test('two tabs without a lock that refresh at once end up with one token', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const tabs = [one.auth, createAuthClient(one.options)];
    const [a, b] = await Promise.all(tabs.map((tab) => tab.getAccessToken()));
    t.equal(a, b);
    const { refreshToken } = (await one.stored()) ?? { refreshToken: '' };
    t.equal(generationOf(refreshToken), 1);
  });

  await t.test('refresh_superseded makes it look into the storage again', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    let renewed: string | null = null;
    one.net.faults.push(async () => {
      const other = createAuthClient({ ...one.options, fetch: globalThis.fetch });
      renewed = await other.getAccessToken();
      return new Response(JSON.stringify({ code: 'refresh_superseded' }), { status: 409 });
    });
    t.equal(await one.auth.getAccessToken(), renewed);
    t.equal(one.net.sent.length, 1);
  });

  await t.test('who has lost his answer to a thief within the leeway ends the session of both', async (t) => {
    const one = await loggedIn({ patience: 0 });
    const { sid } = claimsOf(await one.auth.getAccessToken());
    await one.restart(EXPIRED);
    one.net.faults.push(unanswered);
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable' });
    // The service takes the thief for a parallel request, and the retry of the owner for a late duplicate.
    const stolen = String((await one.stored())?.refreshToken);
    const thief = (await service.refresh(stolen)).json().refresh_token;
    t.equal((await service.refresh(thief)).statusCode, 200);

    one.options.patience = 5_000;
    await one.restart();
    t.equal(await one.auth.getAccessToken(), null);
    await eventually(
      async () => (await one.stored()) === null,
      () => 'the service was not told',
    );
    t.match(await rowOf(service.database, 'sessions', `id = '${sid}'`), { revoke_reason: 'logout' });
  });

  await t.test('a client that gives up soon hears of it too', async (t) => {
    const one = await loggedIn({ patience: 0 });
    await one.restart(EXPIRED);
    const superseded = answered(409, { code: 'refresh_superseded' });
    one.net.faults.push(superseded, superseded);
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable', status: 409 });
    await t.rejects(one.auth.getAccessToken(), { code: 'unavailable' }, 'others have a moment to store what they have');
    t.equal(one.net.sent.length, 1);
    t.intercept(performance, 'now', { value: () => Number.MAX_SAFE_INTEGER });
    t.equal(await one.auth.getAccessToken(), null);
  });

  await t.test('a key that the service takes for used is replaced', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    one.net.faults.push(answered(422, { code: 'idempotency_key_reused' }));
    t.ok(await one.auth.getAccessToken());
    t.not(one.net.sent[0]?.key, one.net.sent[1]?.key);
  });

  for (const [status, code] of [
    [401, 'invalid_refresh_token'],
    [401, 'refresh_token_reused'],
    [401, 'session_revoked'],
    [401, 'session_expired'],
    [401, 'account_disabled'],
  ] as const) {
    await t.test(`${code} ends the session`, async (t) => {
      const one = await loggedIn();
      await one.restart(EXPIRED);
      one.net.faults.push(answered(status, { code }));
      t.equal(await one.auth.getAccessToken(), null);
      t.strictSame(await one.stored(), { ended: code }, 'and no token is kept');
    });
  }

  for (const [status, code] of [
    [400, 'invalid_request'],
    [403, 'role_required'],
    [404, 'not_found'],
    [401, 'something_new'],
    [403, 'session_expired'],
  ] as const) {
    await t.test(`${status} ${code} is told, and ends nothing`, async (t) => {
      const one = await loggedIn();
      await one.restart(EXPIRED);
      one.net.faults.push(answered(status, { code }));
      await t.rejects(one.auth.getAccessToken(), { code, status });
      t.ok(await one.auth.getAccessToken(), 'the next try may do');
    });
  }

  for (const [status, code] of [
    [408, 'request_timeout'],
    [429, 'too_many_attempts'],
    [500, 'internal_error'],
    [503, 'overloaded'],
    [503, 'session_expired'],
  ] as const) {
    await t.test(`${status} ${code} is tried again`, async (t) => {
      const one = await loggedIn();
      await one.restart(EXPIRED);
      one.net.faults.push(answered(status, { code }));
      t.ok(await one.auth.getAccessToken());
      t.equal(one.net.sent.length, 2);
    });
  }

  await t.test('an answer that comes after a logout logs nobody in again', async (t) => {
    const one = await loggedIn();
    const { sid } = claimsOf(await one.auth.getAccessToken());
    await one.restart(EXPIRED);
    const [refresh, logout] = [held(), held()];
    one.net.faults.push(refresh.fault, logout.fault);
    const renewal = one.auth.getAccessToken();
    await refresh.arrived;
    const loggedOut = one.auth.logout();
    await logout.arrived;
    refresh.release();
    t.equal(await renewal, null);
    t.match(await one.stored(), { ended: 'logout' }, 'though the service has not heard of it yet');
    logout.release();
    await loggedOut;
    t.equal(await one.stored(), null);
    t.match(await rowOf(service.database, 'sessions', `id = '${sid}'`), { revoke_reason: 'logout' });
  });

  await t.test('an answer that comes after another login does not replace it', async (t) => {
    const one = await loggedIn({ storage: memoryStorage() });
    await one.restart(EXPIRED);
    const { fault, arrived, release } = held();
    one.net.faults.push(fault);
    const renewal = one.auth.getAccessToken();
    await arrived;
    await one.auth.login(CREDENTIALS);
    const login = await one.stored();
    release();
    t.equal(await renewal, login?.accessToken);
    t.same(await one.stored(), login);
  });
});
