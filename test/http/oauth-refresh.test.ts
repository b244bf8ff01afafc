/** A refresh at /oauth/token: whatever it comes to at /v1/refresh it comes to here, in the words of RFC 6749. */
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { formatRefreshToken } from '../../src/domain/refresh-token.js';
import type { SessionId } from '../../src/domain/types.js';
import { isOauthError, isProblem } from '../support/answers.js';
import { fastDatabase } from '../support/databases.js';
import { noteSecret } from '../support/run-log.js';
import { execute, rowOf, startService, type Tokens } from '../support/service.js';
import { tampered } from '../support/sessions.js';

const database = await fastDatabase(t);
const service = await startService(t, { database });
const { call, refresh, clock, services } = service;
let people = 0;

const outcomeOf = (response: { headers: Record<string, unknown> }) => response.headers['keyturn-refresh-outcome'];
const sessionRow = (id: string) => rowOf(database, 'sessions', `id = '${id}'`);

const oauthRefresh = (
  token: string,
  { key, ...headers }: Record<string, string> = {},
  form: Record<string, string> = {},
) =>
  call({
    method: 'POST',
    url: '/oauth/token',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...headers,
    },
    payload: String(new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, ...form })),
  });

async function loggedIn() {
  const email = `person-${++people}@example.com`;
  const userId = await service.register(email);
  return { userId, ...(await service.login(email)) };
}
type LoggedIn = Awaited<ReturnType<typeof loggedIn>>;

/** What is presented, and with which key. */
interface Asked {
  token: string;
  key?: string;
}

const rotate = async (token: string, key?: string): Promise<string> => (await refresh(token, key)).json().refresh_token;

async function changed(login: LoggedIn, table: string, change: string): Promise<Asked> {
  const where = table === 'users' ? `id = '${login.userId}'` : `id = '${login.session_id}'`;
  await execute(database, `UPDATE ${table} SET ${change} WHERE ${where}`);
  return { token: login.refresh_token };
}

const granted: Record<string, [outcome: string, arrange: (login: LoggedIn) => Promise<Asked>]> = {
  'the current token': ['rotated', async ({ refresh_token: token }) => ({ token })],
  'the current token with a key': ['rotated', async ({ refresh_token: token }) => ({ token, key: 'k' })],
  'a retry with its key': [
    'replayed',
    async ({ refresh_token: token }) => {
      await rotate(token, 'k');
      clock.advance(60);
      return { token, key: 'k' };
    },
  ],
  'a retry with its key in quotes': [
    'replayed',
    async ({ refresh_token: token }) => {
      await rotate(token, 'k');
      return { token, key: '"k"' };
    },
  ],
  'a parallel request without a key': [
    'concurrent',
    async ({ refresh_token: token }) => {
      await rotate(token);
      return { token };
    },
  ],
  'a parallel request with another key': [
    'concurrent',
    async ({ refresh_token: token }) => {
      await rotate(token, 'k');
      return { token, key: 'another-key-of-mine' };
    },
  ],
};

/** The members of an answer, without what no two answers share. */
function shape(body: Tokens) {
  const { access_token: access, refresh_token, session_id, ...rest } = body;
  const { jti, sid, sub, ...claims } = decodeJwt(access);
  return { ...rest, types: [jti, sid, sub, refresh_token, session_id].map((value) => typeof value), claims };
}

for (const [name, [outcome, arrange]] of Object.entries(granted)) {
  t.test(`${name} gets what it gets at /v1/refresh`, async (t) => {
    const [here, there] = [await loggedIn(), await loggedIn()];
    const [a, b] = [await arrange(here), await arrange(there)];
    const { generation } = await sessionRow(here.session_id);
    const response = await oauthRefresh(a.token, a.key === undefined ? {} : { key: a.key });
    const other = await refresh(b.token, b.key);
    t.same([response.statusCode, other.statusCode], [200, 200]);
    t.same([response, other].map(outcomeOf), [outcome, outcome]);
    t.equal(response.headers['cache-control'], 'no-store');
    if (outcome === 'rotated') t.same(shape(response.json()), shape(other.json()));
    t.strictSame(Object.keys(response.json()).sort(), Object.keys(other.json()).sort());
    t.match(response.json(), { token_type: 'Bearer', expires_in: Number, session_id: here.session_id });
    const moved = outcome === 'rotated' ? 1 : 0;
    for (const { session_id: id } of [here, there])
      t.match(await sessionRow(id), { generation: Number(generation) + moved, revoked_at: null });
    const again = await refresh(a.token, a.key);
    t.equal(again.json().refresh_token, response.json().refresh_token, 'and both paths give one answer');
    t.equal((await oauthRefresh(response.json().refresh_token)).statusCode, 200, 'with which the client goes on');
  });
}

interface Refused {
  arrange(login: LoggedIn): Promise<Asked> | Asked;
  /** At /v1/refresh. */
  status: number;
  code: string;
  /** Here, with its status if that is not 400. */
  error?: string;
  ends?: true;
}

const refused: Record<string, Refused> = {
  'what is no token': { arrange: () => ({ token: 'x' }), status: 401, code: 'invalid_refresh_token' },
  'a token of no session': {
    arrange: () => ({ token: `ktr_${Buffer.alloc(68).toString('base64url')}` }),
    status: 401,
    code: 'invalid_refresh_token',
  },
  'an access token': { arrange: ({ access_token: token }) => ({ token }), status: 401, code: 'invalid_refresh_token' },
  'a forged tag': {
    arrange: ({ refresh_token: token }) => ({ token: tampered(token, 'tag'), key: 'k' }),
    status: 401,
    code: 'invalid_refresh_token',
  },
  'a truncated token': {
    arrange: ({ refresh_token: token }) => ({ token: token.slice(0, -1) }),
    status: 401,
    code: 'invalid_refresh_token',
  },
  'a wrong secret under a right tag': {
    arrange: async ({ session_id: id }) => {
      const { family_key: familyKey } = await sessionRow(id);
      return { token: formatRefreshToken(id as SessionId, 0, new Uint8Array(32), familyKey as Uint8Array) };
    },
    status: 401,
    code: 'invalid_refresh_token',
  },
  'a token that is newer than a restored database': {
    arrange: async ({ session_id: id }) => {
      const { family_key: familyKey } = await sessionRow(id);
      return { token: formatRefreshToken(id as SessionId, 1, new Uint8Array(32), familyKey as Uint8Array) };
    },
    status: 401,
    code: 'invalid_refresh_token',
  },
  'the key of the latest rotation with the next token': {
    arrange: async ({ refresh_token: token }) => ({ token: await rotate(token, 'k'), key: 'k' }),
    status: 422,
    code: 'idempotency_key_reused',
    error: 'invalid_request',
  },
  'a key that is none': {
    arrange: ({ refresh_token: token }) => ({ token, key: 'with blank' }),
    status: 400,
    code: 'invalid_idempotency_key',
    error: 'invalid_request',
  },
  'a late duplicate': {
    arrange: async ({ refresh_token: token }) => {
      await rotate(await rotate(token, 'k'), 'k2');
      clock.advance(60);
      return { token, key: 'k' };
    },
    status: 409,
    code: 'refresh_superseded',
  },
  'a reused token': {
    arrange: async ({ refresh_token: token }) => {
      await rotate(token, 'k');
      clock.advance(60);
      return { token };
    },
    status: 401,
    code: 'refresh_token_reused',
    ends: true,
  },
  'a reused token with another key': {
    arrange: async ({ refresh_token: token }) => {
      await rotate(token, 'k');
      clock.advance(60);
      return { token, key: 'another-key-of-mine' };
    },
    status: 401,
    code: 'refresh_token_reused',
    ends: true,
  },
  'a token of a session that was ended': {
    arrange: (login) => changed(login, 'sessions', `revoked_at = now(), revoke_reason = 'logout'`),
    status: 401,
    code: 'session_revoked',
    ends: true,
  },
  'a session past its idle end': {
    arrange: (login) => changed(login, 'sessions', 'idle_expires_at = created_at'),
    status: 401,
    code: 'session_expired',
  },
  'a session past its absolute end': {
    arrange: (login) => changed(login, 'sessions', 'expires_at = created_at'),
    status: 401,
    code: 'session_expired',
  },
  'the token of a disabled account': {
    arrange: (login) => changed(login, 'users', 'disabled_at = now()'),
    status: 401,
    code: 'account_disabled',
  },
  'the token of a user who lacks the role': {
    arrange: (login) => changed(login, 'sessions', `client_id = 'keyturn-admin'`),
    status: 403,
    code: 'role_required',
  },
};

async function sameEffect(t: Test, logins: readonly LoggedIn[], ends: boolean): Promise<void> {
  const rows = await Promise.all(logins.map(({ session_id: id }) => sessionRow(id)));
  t.equal(rows[0]?.generation, rows[1]?.generation);
  t.equal(rows[0]?.revoke_reason, rows[1]?.revoke_reason);
  for (const row of rows) t.equal(row.revoked_at !== null, ends, ends ? 'the session has ended' : 'the session lives');
}

for (const [name, { arrange, status, code, error = 'invalid_grant', ends = false }] of Object.entries(refused)) {
  t.test(`${name} is ${error === 'invalid_grant' ? 'an invalid grant' : 'an invalid request'}`, async (t) => {
    const logins = [await loggedIn(), await loggedIn()] as const;
    const [a, b] = [await arrange(logins[0]), await arrange(logins[1])];
    isOauthError(t, await oauthRefresh(a.token, a.key === undefined ? {} : { key: a.key }), 400, error);
    isProblem(t, await refresh(b.token, b.key), status, code, 'at /v1/refresh');
    await sameEffect(t, logins, ends);
  });
}

t.test('a request without a token is an invalid request', async (t) => {
  isOauthError(t, await oauthRefresh(''), 400, 'invalid_request');
});

t.test('a failure of the service is one here too, and the retry succeeds', async (t) => {
  const { refresh_token: token, session_id: id } = await loggedIn();
  const { keys } = services;
  const { signingKey } = keys;
  keys.signingKey = () => ({
    ...signingKey(),
    handle: { problem: () => null, check() {}, sign: () => Promise.reject(new Error('no signature')) },
  });
  const failed = await oauthRefresh(token, { key: 'k' });
  keys.signingKey = signingKey;
  isOauthError(t, failed, 503, 'temporarily_unavailable');
  t.equal(failed.headers['retry-after'], '1');
  t.equal(outcomeOf(await oauthRefresh(token, { key: 'k' })), 'replayed');
  t.match(await sessionRow(id), { generation: 1, revoked_at: null });
});

t.test('a client cannot refresh the session of another, and the session lives', async (t) => {
  const fields = { clientId: 'billing', name: 'Billing', type: 'confidential', audiences: ['ledger'] } as const;
  const { secret } = await services.clients.create(fields);
  const basicOf = (password: string | null) => {
    const credentials = Buffer.from(`billing:${password}`).toString('base64');
    noteSecret(password, credentials);
    return { authorization: `Basic ${credentials}` };
  };
  const { refresh_token: first, session_id: id } = await loggedIn();
  const second = await rotate(first, 'k');
  for (const token of [first, second]) {
    for (const client of ['keyturn-admin', 'nobody', 'DEFAULT'])
      isOauthError(t, await oauthRefresh(token, { key: 'k' }, { client_id: client }), 400, 'invalid_grant', client);
    isOauthError(t, await oauthRefresh(token, basicOf(secret)), 400, 'invalid_grant', 'one that has proved who it is');
    isOauthError(t, await oauthRefresh(token, basicOf('x')), 401, 'invalid_client', 'one that could not');
  }
  clock.advance(60);
  isOauthError(
    t,
    await oauthRefresh(first, {}, { client_id: 'nobody' }),
    400,
    'invalid_grant',
    'nor end it by a reuse',
  );
  t.match(await sessionRow(id), { generation: 1, revoked_at: null });
  const own = await oauthRefresh(second, {}, { client_id: 'default', foo: 'bar' });
  t.equal(outcomeOf(own), 'rotated');
});
