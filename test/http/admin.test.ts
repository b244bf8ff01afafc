/** /v1/admin: who may come in, what each operation does, and what it leaves in the audit trail. */
import t, { type Test } from 'tap';
import { adminTokens } from '../support/administrator.js';
import { isBearerRefusal, isProblem, outcomeOf } from '../support/answers.js';
import { noteSecret } from '../support/run-log.js';
import { PASSWORD, rowOf, rowsOf, startService } from '../support/service.js';

const service = await startService(t);
const { database, services, get, login, refresh } = service;
const admin = await adminTokens(service);
const AGENT = 'Admin/1.0';

const call = (
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: object,
  token = admin.access_token,
) =>
  service.call({
    method,
    url: `/v1/admin${path}`,
    headers: {
      authorization: `Bearer ${token}`,
      'user-agent': AGENT,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  });

let numbered = 0;
/** Somebody with a live session. */
async function somebody() {
  const email = `somebody-${++numbered}@example.com`;
  const id = await service.register(email);
  return { id, email, tokens: await login(email) };
}

/** The one event of this name about a user or a client. */
async function audited(t: Test, event: string, about: { user_id?: string; client_id?: string }, details?: object) {
  const where = Object.entries(about).map(([column, value]) => `AND ${column} = '${value}'`);
  const rows = await rowsOf(database, 'audit_events', `event = '${event}' ${where.join(' ')} ORDER BY id`);
  const expected = {
    actor: `user:${admin.id}`,
    outcome: 'success',
    user_agent: AGENT,
    ip: '127.0.0.1',
    ...(details && { details }),
  };
  t.match(rows, [expected], `${event} says who did it`);
}

t.test('nobody comes in but an administrator with a live session and a token for it', async (t) => {
  const { id, email, tokens } = await somebody();
  const api = await login('root@example.com');
  const client = { clientId: 'lax', name: 'Lax', type: 'public' as const, audiences: ['keyturn-admin'] };
  await services.clients.create(client);
  const roleless = await login(email, { client_id: 'lax' });
  const { client: machine } = await services.clients.create({
    ...client,
    clientId: 'machine',
    type: 'confidential',
  });
  const own = await services.issueToClient({ ...machine, provedAt: service.clock.now() }, {});
  const over = await login('root@example.com', { client_id: 'keyturn-admin' });
  await service.call({ method: 'POST', url: '/v1/logout', headers: { authorization: `Bearer ${over.access_token}` } });

  const kid = (await services.signingKeys.list())[0]?.kid;

  const routes = [
    ...(['', `/${id}`] as const).map((path) => ['GET', `/users${path}`] as const),
    ...(['disable', 'enable'] as const).map((verb) => ['POST', `/users/${id}/${verb}`] as const),
    ['POST', '/users', { email: 'never@example.com' }] as const,
    ['PUT', `/users/${id}/roles`, { roles: ['admin'] }] as const,
    ['PUT', `/users/${id}/password`, {}] as const,
    ['DELETE', `/users/${id}/sessions`] as const,
    ['DELETE', `/users/${id}`] as const,
    ['GET', '/clients'] as const,
    ['POST', '/clients', { client_id: 'never', type: 'public', audiences: ['api'] }] as const,
    ['GET', '/clients/machine'] as const,
    ['PATCH', '/clients/machine', { name: 'x' }] as const,
    ['POST', '/clients/machine/secret'] as const,
    ['DELETE', '/clients/machine'] as const,
    ['GET', '/keys'] as const,
    ['POST', '/keys', { pem: 'never' }] as const,
    ['POST', '/keys/rotate'] as const,
    ['POST', '/keys/rewrap'] as const,
    ['POST', `/keys/${kid}/promote`] as const,
    ['POST', `/keys/${kid}/revoke`, { compromised: true }] as const,
    ['POST', '/revocations', { kind: 'all' }] as const,
    ['GET', '/audit'] as const,
    ['GET', '/audit/verification'] as const,
    ['GET', '/anomalies'] as const,
    ['GET', '/webhooks'] as const,
    ['POST', '/webhooks', { url: 'https://never.example', events: ['*'] }] as const,
    ...(['GET', 'DELETE'] as const).map((method) => [method, `/webhooks/${id}`] as const),
    ['PATCH', `/webhooks/${id}`, { description: 'never' }] as const,
    ...(['secret', 'test'] as const).map((what) => ['POST', `/webhooks/${id}/${what}`] as const),
    ['POST', `/webhooks/${id}/retries`, {}] as const,
    ['GET', `/webhooks/${id}/deliveries`] as const,
  ];
  const { paths } = (await get('/openapi.json')).json();
  const declared = Object.entries<object>(paths).filter(([path]) => path.startsWith('/v1/admin/'));
  t.equal(routes.length, declared.flatMap(([, methods]) => Object.keys(methods)).length, 'all routes are tried');
  const events = (await rowsOf(database, 'audit_events')).length;
  for (const [method, path, body] of routes) {
    const without = await service.call({
      method,
      url: `/v1/admin${path}`,
      ...(body && { headers: { 'content-type': 'application/json' }, payload: JSON.stringify(body) }),
    });
    isBearerRefusal(t, without, 'token_missing', `${method} ${path} without a token`);
    const refused = async (token: string) => outcomeOf(await call(method, path, body, token));
    t.same(
      {
        api: await refused(api.access_token),
        roleless: await refused(roleless.access_token),
        own: await refused(own.access_token),
        over: await refused(over.access_token),
        user: await refused(tokens.access_token),
      },
      {
        api: '401 invalid_audience',
        roleless: '403 role_required',
        own: '403 session_required',
        over: '401 token_revoked',
        user: '401 invalid_audience',
      },
      `${method} ${path}`,
    );
  }
  t.equal((await rowsOf(database, 'audit_events')).length, events, 'nothing was done');
});

t.test('who is no administrator any more is out at once, though his token still says so', async (t) => {
  const other = await adminTokens(service, 'other-admin@example.com');
  t.equal((await call('GET', '/users', undefined, other.access_token)).statusCode, 200);
  t.equal((await call('PUT', `/users/${other.id}/roles`, { roles: ['support'] })).statusCode, 200);
  isProblem(t, await call('GET', '/users', undefined, other.access_token), 403, 'role_required');
  isProblem(t, await refresh(other.refresh_token), 403, 'role_required', 'and gets no other');
  const changes = await rowsOf(
    database,
    'audit_events',
    `event = 'user.roles_changed' AND user_id = '${other.id}' ORDER BY id`,
  );
  t.match(changes, [
    { actor: 'cli:ops', details: { before: [], after: ['admin'] } },
    { actor: `user:${admin.id}`, details: { before: ['admin'], after: ['support'] } },
  ]);
});

t.test('an account that is made here can be used', async (t) => {
  const fields = { email: ' Grace@Example.com', password: PASSWORD, roles: ['admin', 'support'] };
  const made = await call('POST', '/users', fields);
  t.equal(made.statusCode, 201);
  const { id, ...rest } = made.json();
  t.match(rest, { email: 'Grace@Example.com', roles: ['admin', 'support'], disabled_at: null, email_verified: false });
  t.notOk('password' in rest, 'a password that was given is not repeated');
  t.same((await call('GET', `/users/${id}`)).json(), made.json());
  t.same((await call('GET', '/users?email=GRACE@example.com')).json(), { users: [made.json()], next_cursor: null });
  t.same((await call('GET', '/users?email=nobody@example.com')).json(), { users: [], next_cursor: null });
  await audited(t, 'user.created', { user_id: id }, { roles: ['admin', 'support'] });
  await login('grace@example.com', { client_id: 'keyturn-admin' });

  isProblem(t, await call('POST', '/users', fields), 409, 'email_taken');
  isProblem(t, await call('POST', '/users', { ...fields, password: 'password123' }), 422, 'password_rejected');
});

t.test('a password that is made here is shown once, and is the password', async (t) => {
  const made = (await call('POST', '/users', { email: 'linus@example.com' })).json();
  noteSecret(made.password);
  t.match(made.password, /^[\w-]{24}$/);
  const first = await login('linus@example.com', { password: made.password });
  const set = await call('PUT', `/users/${made.id}/password`, {});
  noteSecret(set.json().password);
  t.match(set.json(), { ended_sessions: 1, password: /^[\w-]{24}$/ });
  isProblem(t, await refresh(first.refresh_token), 401, 'session_revoked');
  await login('linus@example.com', { password: set.json().password });
  t.notMatch((await call('GET', `/users/${made.id}`)).body, set.json().password);
  await audited(t, 'password.set', { user_id: made.id }, { ended: 1 });
});

t.test('a disabled account is out at once, and back when it is enabled', async (t) => {
  const { id, email, tokens } = await somebody();
  const disabled = await call('POST', `/users/${id}/disable`);
  t.match(disabled.json(), { id, disabled_at: new Date(service.clock.now()).toISOString() });
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  isProblem(t, await refresh(tokens.refresh_token), 401, 'account_disabled');
  const again = () => service.post('/v1/login', { email, password: PASSWORD });
  isProblem(t, await again(), 403, 'account_disabled');
  t.same((await call('POST', `/users/${id}/disable`)).json(), disabled.json(), 'a second time changes nothing');
  t.equal((await call('POST', `/users/${id}/enable`)).json().disabled_at, null);
  t.equal((await again()).statusCode, 200);
  isProblem(t, await refresh(tokens.refresh_token), 401, 'session_revoked', 'what ended does not come back');
  await audited(t, 'user.disabled', { user_id: id }, { ended: 1 });
  await audited(t, 'user.enabled', { user_id: id });
});

t.test('all sessions of an account end', async (t) => {
  const { id, email, tokens } = await somebody();
  await login(email);
  t.same((await call('DELETE', `/users/${id}/sessions`)).json(), { ended_sessions: 2 });
  isProblem(t, await refresh(tokens.refresh_token), 401, 'session_revoked');
  t.match(await rowOf(database, 'sessions', `id = '${tokens.session_id}'`), { revoke_reason: 'ended_by_admin' });
  await audited(t, 'sessions.ended', { user_id: id }, { ended: 2 });
});

t.test('a deleted account is gone, and its e-mail free', async (t) => {
  const { id, email, tokens } = await somebody();
  t.equal((await call('DELETE', `/users/${id}`)).json().email, email);
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  isProblem(t, await refresh(tokens.refresh_token), 401, 'invalid_refresh_token');
  isProblem(t, await call('GET', `/users/${id}`), 404, 'not_found');
  isProblem(t, await call('DELETE', `/users/${id}`), 404, 'not_found');
  await audited(t, 'user.deleted', { user_id: id }, { ended: 1 });
  await service.register(email);
});

t.test('administrators do not lock themselves out', async (t) => {
  const own = `/users/${admin.id}`;
  for (const path of [own, `/users/${admin.id.toUpperCase()}`]) {
    for (const response of [
      await call('POST', `${path}/disable`),
      await call('DELETE', path),
      await call('PUT', `${path}/roles`, { roles: ['support'] }),
    ])
      isProblem(t, response, 409, 'own_account');
  }
  t.equal(
    (await call('PUT', `${own}/roles`, { roles: ['support', 'admin'] })).statusCode,
    200,
    'more roles are no harm',
  );
});

t.test('a client that is made here gets tokens, with its secret of now', async (t) => {
  const odd = 'billing/of%2F#1?';
  const path = `/clients/${encodeURIComponent(odd)}`;
  const made = await call('POST', '/clients', {
    client_id: odd,
    type: 'confidential',
    audiences: ['api'],
    scopes: ['invoices:read'],
    access_token_ttl: 60,
  });
  t.equal(made.statusCode, 201);
  const { client_secret: first, ...shown } = made.json();
  t.match(shown, { name: odd, grants: ['client_credentials'], access_token_ttl: 60, idle_ttl: 14 * 86_400 });
  t.same((await call('GET', path)).json(), shown, 'the secret is shown once');
  const answer = async (secret: string) => {
    const encoded = Buffer.from([odd, secret].map(encodeURIComponent).join(':')).toString('base64');
    noteSecret(secret, encoded);
    return service.call({
      method: 'POST',
      url: '/oauth/token',
      headers: { authorization: `Basic ${encoded}`, 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'grant_type=client_credentials',
    });
  };
  t.match((await answer(first)).json(), { expires_in: 60, scope: 'invoices:read' });
  const { client_secret: second } = (await call('POST', `${path}/secret`)).json();
  t.same([(await answer(first)).statusCode, (await answer(second)).statusCode], [401, 200]);
  const updated = await call('PATCH', path, { scopes: [], access_token_ttl: 30, name: 'Billing' });
  t.same(updated.json(), { ...shown, scopes: [], access_token_ttl: 30, name: 'Billing' });
  t.match((await answer(second)).json(), { expires_in: 30, scope: '' });
  await audited(t, 'client.created', { client_id: odd });
  await audited(t, 'client.secret_rotated', { client_id: odd });
  await audited(
    t,
    'client.updated',
    { client_id: odd },
    {
      changed: {
        accessTokenTtl: { before: 60, after: 30 },
        name: { before: shown.name, after: 'Billing' },
        scopes: { before: ['invoices:read'], after: [] },
      },
    },
  );
});

t.test('two changes at once that are well each by itself do not make a client that is refused', async (t) => {
  await call('POST', '/clients', {
    client_id: 'twice',
    type: 'public',
    audiences: ['api'],
    idle_ttl: 10,
    absolute_ttl: 90,
  });
  const answers = await Promise.all(
    [{ idle_ttl: 60 }, { absolute_ttl: 30 }].map((change) => call('PATCH', '/clients/twice', change)),
  );
  t.same(answers.map(({ statusCode }) => statusCode).sort(), [200, 400]);
  const { idle_ttl, absolute_ttl } = (await call('GET', '/clients/twice')).json();
  t.ok(idle_ttl <= absolute_ttl);
});

t.test('a deleted client is gone with its sessions', async (t) => {
  await call('POST', '/clients', { client_id: 'web', type: 'public', audiences: ['api'] });
  const { email, id } = await somebody();
  const tokens = await login(email, { client_id: 'web' });
  t.equal((await call('DELETE', '/clients/web')).json().client_id, 'web');
  isProblem(t, await refresh(tokens.refresh_token), 401, 'invalid_refresh_token');
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  isProblem(t, await service.post('/v1/login', { email, password: PASSWORD, client_id: 'web' }), 400, 'unknown_client');
  t.equal((await rowsOf(database, 'sessions', `user_id = '${id}'`)).length, 1, 'sessions of other clients go on');
  await audited(t, 'client.deleted', { client_id: 'web' }, { ended: 1 });
});

t.test('what would make no sense of a client is refused', async (t) => {
  const client = { client_id: 'odd', type: 'public', audiences: ['api'] };
  const refused: [object, string][] = [
    [{ ...client, grants: ['client_credentials'] }, 'grants'],
    [{ ...client, type: 'confidential', grants: ['password'] }, 'grants'],
    [{ ...client, idle_ttl: 61, absolute_ttl: 60 }, 'idle_ttl'],
    [{ ...client, cors_origins: ['https://app.example.com/'] }, 'cors_origins'],
    [{ ...client, client_id: '..' }, 'client_id'],
  ];
  for (const [body, member] of refused) {
    const response = await call('POST', '/clients', body);
    isProblem(t, response, 400, 'invalid_request');
    t.match(response.json().detail, member);
  }
  isProblem(t, await call('PATCH', '/clients/default', { idle_ttl: 91 * 86_400 }), 400, 'invalid_request');
  isProblem(t, await call('PATCH', '/clients/default', {}), 400, 'invalid_request');
  isProblem(t, await call('PATCH', '/clients/odd', { name: 'x' }), 404, 'not_found');
  isProblem(t, await call('POST', '/clients/default/secret'), 409, 'client_public');
  for (const seeded of ['default', 'keyturn-admin'])
    isProblem(t, await call('DELETE', `/clients/${seeded}`), 409, 'client_required');
  isProblem(t, await call('POST', '/clients', { ...client, client_id: 'default' }), 409, 'client_exists');
});

t.test('lists are read page by page, and have everything once', async (t) => {
  for (const [noun, key] of [
    ['users', 'id'],
    ['clients', 'client_id'],
  ] as const) {
    const all = (await call('GET', `/${noun}?limit=100`)).json();
    t.equal(all.next_cursor, null);
    const read: unknown[] = [];
    for (let cursor = ''; ; ) {
      const page = (await call('GET', `/${noun}?limit=2${cursor}`)).json();
      t.ok(page[noun].length <= 2);
      read.push(...page[noun]);
      if (page.next_cursor === null) break;
      cursor = `&cursor=${page.next_cursor}`;
    }
    t.same(read, all[noun]);
    t.equal(read.length, new Set(all[noun].map((one: Record<string, string>) => one[key])).size);
    for (const query of [
      'limit=0',
      'limit=101',
      'limit=1e1',
      'cursor=',
      'cursor=AA',
      `cursor=${'A'.repeat(172)}`,
      'x=1',
    ])
      isProblem(t, await call('GET', `/${noun}?${query}`), 400, 'invalid_request', query);
  }
});
