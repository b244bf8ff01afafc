/** The life of a session as an app sees it: login, requests, logout, and how it ends. */
import t from 'tap';
import { createAuthClient, memoryStorage } from '../../src/client/index.js';
import { AGED, answered, CREDENTIALS, claimsOf, clientWorld, EXPIRED, held, lost } from '../support/auth-client.js';
import { eventually } from '../support/process.js';
import { execute, rowOf } from '../support/service.js';

t.test('a client', async (t) => {
  const { service, baseUrl, advance, client, loggedIn } = await clientWorld(t);
  const me = `${baseUrl}/v1/me`;

  await t.test('logs in, and sends its access token with every request', async (t) => {
    const { auth, stored } = client();
    t.equal(await auth.getAccessToken(), null, 'there is no session yet');
    t.equal((await auth.fetch(me)).status, 401, 'and the request goes out without a token');
    const login = await auth.login({ ...CREDENTIALS, deviceName: 'phone' });
    t.match(await rowOf(service.database, 'sessions', `id = '${login.sessionId}'`), { device_name: 'phone' });
    t.equal((await auth.fetch(me)).status, 200);
    t.equal(await auth.getAccessToken(), (await stored())?.accessToken);
  });

  await t.test('is known by its device when it logs in again', async (t) => {
    const { auth, net } = await loggedIn();
    await auth.logout();
    await auth.login(CREDENTIALS);
    await auth.logout();
    await auth.login(CREDENTIALS);
    const tokens = net.sent.filter(({ path }) => path === '/v1/login').map(({ body }) => body.device_token);
    t.match(tokens.at(-1), /^ktd_/);
    t.equal(tokens.at(-1), tokens.at(-2), 'it stays the same');
  });

  await t.test('says why it cannot log in, in the words of the service', async (t) => {
    const { auth, net } = client();
    await t.rejects(auth.login({ ...CREDENTIALS, password: 'something else' }), {
      name: 'AuthError',
      code: 'invalid_credentials',
      status: 401,
    });
    net.faults.push(answered(429, { code: 'too_many_attempts' }, { 'retry-after': '300' }));
    await t.rejects(auth.login(CREDENTIALS), { code: 'too_many_attempts', status: 429, retryAfter: 300 });
    net.faults.push(lost);
    await t.rejects(auth.login(CREDENTIALS), { code: 'unavailable', status: 0 });
    t.equal(net.sent.length, 3, 'a login is not repeated by itself');
  });

  await t.test('renews a token that is about to expire, and keeps nobody waiting for it', async (t) => {
    const one = await loggedIn();
    const before = await one.stored();
    await one.restart({ renewAt: 0 });
    const { fault, arrived, release } = held();
    one.net.faults.push(fault);
    t.equal(await one.auth.getAccessToken(), before?.accessToken, 'it is good for a little longer');
    await arrived;
    release();
    await eventually(
      async () => (await one.stored())?.accessToken !== before?.accessToken,
      () => 'it is not renewed',
    );
    t.not(await one.auth.getAccessToken(), before?.accessToken);
    t.equal(one.net.sent.length, 1);
  });

  await t.test('goes on with the password where the service wants it, and forgets nothing meanwhile', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const before = await one.stored();
    const ends: string[] = [];
    one.auth.onSessionEnd((reason) => ends.push(reason));
    const { sid } = claimsOf(before?.accessToken ?? '');
    await execute(service.database, `UPDATE sessions SET step_up_at = '2026-03-01' WHERE id = '${sid}'`);
    await t.rejects(one.auth.getAccessToken(), { name: 'AuthError', code: 'password_required', status: 401 });
    await t.rejects(one.auth.fetch(me), { code: 'password_required' });
    await t.rejects(one.auth.refresh({ password: 'not the password' }), { code: 'wrong_password', status: 403 });
    t.strictSame(await one.stored(), before);
    t.ok(await one.auth.refresh({ password: CREDENTIALS.password }));
    t.equal(new Set(one.net.sent.map(({ key }) => key)).size, 1, 'by the rule, with one key');
    t.equal((await one.auth.fetch(me)).status, 200);
    t.strictSame(ends, []);
  });

  await t.test('sends the password by itself, not with a refresh that is under way without', async (t) => {
    const one = await loggedIn();
    await one.restart(EXPIRED);
    const { fault, arrived, release } = held();
    one.net.faults.push(fault);
    const under = one.auth.getAccessToken();
    await arrived;
    const { sid } = claimsOf((await one.stored())?.accessToken ?? '');
    await execute(service.database, `UPDATE sessions SET step_up_at = '2026-03-01' WHERE id = '${sid}'`);
    const refreshed = one.auth.refresh({ password: CREDENTIALS.password });
    release();
    await t.rejects(under, { code: 'password_required' });
    t.ok(await refreshed);
    t.strictSame(
      one.net.sent.map(({ body }) => 'password' in body),
      [false, true],
    );
  });

  await t.test('waits for a new token when the old one has expired', async (t) => {
    const one = await loggedIn();
    const before = await one.stored();
    await one.restart(EXPIRED);
    const token = await one.auth.getAccessToken();
    t.not(token, before?.accessToken);
    t.equal(token, (await one.stored())?.accessToken);
  });

  await t.test('takes a token for old when the clock was set back', async (t) => {
    const one = await loggedIn();
    const inADay = Date.now() + 86_400_000;
    await one.restart({ madeAt: inADay, renewAt: inADay + 840_000, expiresAt: inADay + 900_000 });
    await one.auth.getAccessToken();
    t.equal(one.net.sent.length, 1);
  });

  await t.test('renews a token that was refused, and sends the request once more', async (t) => {
    const one = await loggedIn();
    await advance(1000);
    await one.restart(AGED);
    const response = await one.auth.fetch(me, { headers: { accept: 'application/json' } });
    t.equal(response.status, 200);
    t.equal(one.net.sent.length, 1);
    const post = await one.auth.fetch(new Request(`${baseUrl}/v1/logout`, { method: 'POST', body: null }));
    t.equal(post.status, 204, 'a Request will do as well');
  });

  await t.test('sends the body again too, but for a stream, which is gone', async (t) => {
    const one = await loggedIn();
    const bodies: string[] = [];
    const echo: typeof fetch = async (input, init) => {
      if (!String(input instanceof Request ? input.url : input).endsWith('/echo')) return one.net.fetch(input, init);
      bodies.push(await new Response(input instanceof Request ? input.body : init?.body).text());
      return new Response(null, { status: 401 });
    };
    const url = `${baseUrl}/echo`;
    const stream = new Blob(['stream']).stream();
    for (const [input, init] of [
      [url, { method: 'POST', body: 'text' }],
      [new Request(url, { method: 'POST', body: 'request' })],
      [url, { method: 'POST', body: stream, duplex: 'half' as const }],
    ] as const) {
      await one.restart(AGED);
      const auth = createAuthClient({ ...one.options, fetch: echo });
      t.equal((await auth.fetch(input, init)).status, 401, 'twice refused is refused');
    }
    t.same(bodies, ['text', 'text', 'request', 'request', 'stream']);
    t.equal(one.net.sent.length, 3, 'the token is renewed all the same, for the next try');
  });

  await t.test('renews nothing for an API that refuses a token that was just made', async (t) => {
    const one = await loggedIn();
    const refusing: typeof fetch = async (input, init) =>
      String(input).endsWith('/orders') ? new Response(null, { status: 401 }) : one.net.fetch(input, init);
    const auth = createAuthClient({ ...one.options, fetch: refusing });
    for (let n = 0; n < 5; n++) t.equal((await auth.fetch(`${baseUrl}/orders`)).status, 401);
    t.same(one.net.sent, []);
  });

  await t.test('keeps nobody waiting who has given up', async (t) => {
    for (const isRequest of [false, true]) {
      const one = await loggedIn();
      await one.restart(EXPIRED);
      const { fault, arrived, release } = held();
      one.net.faults.push(fault);
      const controller = new AbortController();
      const { signal } = controller;
      const asked = isRequest
        ? one.auth.fetch(new Request(me, { signal }), { headers: {} })
        : one.auth.fetch(me, { signal });
      await arrived;
      controller.abort(new Error('never mind'));
      await t.rejects(asked, { message: 'never mind' });
      release();
      t.equal((await one.auth.fetch(me)).status, 200, 'the renewal went on');
      t.equal(one.net.sent.length, 1);
    }
  });

  await t.test('ends at the service the session that a login replaces', async (t) => {
    const one = await loggedIn();
    const { sid } = claimsOf(await one.auth.getAccessToken());
    await one.auth.login(CREDENTIALS);
    await eventually(
      async () => (await rowOf(service.database, 'sessions', `id = '${sid}'`)).revoke_reason === 'logout',
      () => 'the service was not told',
    );
    t.equal((await one.auth.fetch(me)).status, 200, 'the new one lives');
  });

  await t.test('forgets the session at once on logout, and the service ends it', async (t) => {
    const one = await loggedIn();
    const { sid } = claimsOf(await one.auth.getAccessToken());
    const reasons: string[] = [];
    one.auth.onSessionEnd((reason) => reasons.push(reason));
    await one.auth.logout();
    t.equal(await one.stored(), null);
    t.equal(await one.auth.getAccessToken(), null);
    t.match(await rowOf(service.database, 'sessions', `id = '${sid}'`), { revoke_reason: 'logout' });
    t.same(reasons, ['logout']);
    await one.auth.logout();
    t.equal(one.net.sent.length, 1, 'there is nothing more to end');
  });

  await t.test('that cannot reach the service is logged out all the same, and tells it when it can', async (t) => {
    const one = await loggedIn({ patience: 0 });
    const { sid } = claimsOf(await one.auth.getAccessToken());
    one.net.faults.push(lost);
    await t.rejects(one.auth.logout(), { code: 'unavailable' });
    t.equal(await one.auth.getAccessToken(), null);
    t.match(await one.stored(), { ended: 'logout' });
    await one.restart();
    t.equal(await one.auth.getAccessToken(), null, 'nor is it logged in after a restart');
    await eventually(
      async () => (await one.stored()) === null,
      () => 'the service was not told',
    );
    t.match(await rowOf(service.database, 'sessions', `id = '${sid}'`), { revoke_reason: 'logout' });
  });

  await t.test('tells the service of a logout even when a login has come in between', async (t) => {
    const one = await loggedIn({ patience: 0 });
    const { sid } = claimsOf(await one.auth.getAccessToken());
    one.net.faults.push(lost);
    await t.rejects(one.auth.logout(), { code: 'unavailable' });
    await one.restart();
    await one.auth.login(CREDENTIALS);
    const revoked = async () => (await rowOf(service.database, 'sessions', `id = '${sid}'`)).revoke_reason;
    await eventually(
      async () => (await revoked()) === 'logout',
      () => 'the service was not told',
    );
    t.ok(await one.auth.getAccessToken(), 'the new session lives');
  });

  await t.test('takes no logout for told because another one was', async (t) => {
    const one = await loggedIn();
    const { fault, arrived, release } = held();
    one.net.faults.push(fault);
    const first = one.auth.logout();
    await arrived;
    await one.auth.login(CREDENTIALS);
    const { sid } = claimsOf(await one.auth.getAccessToken());
    await one.auth.logout();
    t.match(await rowOf(service.database, 'sessions', `id = '${sid}'`), { revoke_reason: 'logout' });
    release();
    await first;
    t.equal(await one.stored(), null);
  });

  await t.test('never sends a token that it has not', async (t) => {
    const one = await loggedIn();
    await one.restart({ accessToken: undefined, madeAt: undefined, renewAt: undefined, expiresAt: undefined });
    t.equal((await one.auth.fetch(me)).status, 200, 'what is damaged is renewed');
  });

  await t.test('sends the request once more though the connection of the first answer broke', async (t) => {
    const one = await loggedIn();
    await one.restart(AGED);
    let asked = 0;
    const breaking: typeof fetch = async (input, init) => {
      if (!String(input).endsWith('/orders')) return one.net.fetch(input, init);
      const broken = new ReadableStream({ start: (controller) => controller.error(new Error('reset')) });
      return new Response(asked++ === 0 ? broken : 'orders', { status: asked === 1 ? 401 : 200 });
    };
    const auth = createAuthClient({ ...one.options, fetch: breaking });
    t.equal((await auth.fetch(`${baseUrl}/orders`)).status, 200);
  });

  await t.test('hears once why its session has ended, and of nothing after it has stopped to listen', async (t) => {
    const one = await loggedIn();
    const { sid } = claimsOf(await one.auth.getAccessToken());
    await execute(
      service.database,
      `UPDATE sessions SET revoked_at = now(), revoke_reason = 'logout' WHERE id = '${sid}'`,
    );
    await one.restart(EXPIRED);
    const reasons: string[] = [];
    one.auth.onSessionEnd((reason) => reasons.push(reason));
    one.auth.onSessionEnd(() => reasons.push('too much'))();
    t.same(await Promise.all([one.auth.getAccessToken(), one.auth.getAccessToken()]), [null, null]);
    t.equal(await one.auth.getAccessToken(), null);
    t.same(reasons, ['session_revoked']);
    t.equal(one.net.sent.length, 1, 'the service is not asked again');
    await one.auth.login(CREDENTIALS);
    t.ok(await one.auth.getAccessToken(), 'a new login begins anew');
  });

  await t.test('needs a source of randomness, and says so', async (t) => {
    t.intercept(globalThis, 'crypto', { value: undefined });
    const options = { baseUrl, clientId: 'default', storage: memoryStorage() };
    t.throws(() => createAuthClient(options), { code: 'no_randomness' });
  });
});
