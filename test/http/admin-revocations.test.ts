/** POST /v1/admin/revocations: what each kind ends and what it leaves, and that what is not there is revoked too. */
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { adminTokens } from '../support/administrator.js';
import { isBearerRefusal, isProblem } from '../support/answers.js';
import { breakableProjection } from '../support/breakable-projection.js';
import { createForge } from '../support/forge.js';
import { oauthOf } from '../support/oauth.js';
import { rowOf, rowsOf, startService, testKeks } from '../support/service.js';

const redis = breakableProjection();
const keks = testKeks();
const service = await startService(t, { keks, projection: redis.projection });
const { database, services, clock, get, login, refresh } = service;
const { confidential, tokenOf } = oauthOf(service);
let admin = await adminTokens(service);
const UNKNOWN = '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';

const requestOf = (body: object) => ({
  method: 'POST' as const,
  url: '/v1/admin/revocations',
  headers: { authorization: `Bearer ${admin.access_token}`, 'content-type': 'application/json' },
  payload: JSON.stringify(body),
});
const revoke = (body: object) => service.call(requestOf(body));

let numbered = 0;
async function somebody() {
  const email = `somebody-${++numbered}@example.com`;
  const id = await service.register(email);
  return { id, email, tokens: await login(email) };
}

/** Carried out, and its rule is there with its event. */
async function isRevoked(t: Test, kind: string, value: string | undefined, about: object = {}) {
  const answer = await revoke({ kind, value });
  t.same([answer.statusCode, answer.body], [204, ''], kind);
  const stored = kind === 'sid' || kind === 'sub' ? value?.toLowerCase() : value;
  const rules = await rowsOf(database, 'revocations', `kind = '${kind}' AND value = '${stored ?? ''}'`);
  t.match(rules, [{ revoked_at: new Date(clock.now()) }], `${kind}: its rule`);
  const event = await rowOf(database, 'audit_events', `event = 'revocation.created' ORDER BY id DESC LIMIT 1`);
  const details = { kind, value: stored ?? null };
  t.match(event, { actor: `user:${admin.id}`, ip: '127.0.0.1', outcome: 'success', details, ...about }, 'who did it');
}

t.test('a token is revoked by its jti, and its session goes on', async (t) => {
  const { tokens } = await somebody();
  const { jti = '' } = decodeJwt(tokens.access_token);
  await isRevoked(t, 'jti', jti, { jti });
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  t.equal((await refresh(tokens.refresh_token)).statusCode, 200);
  t.equal((await revoke({ kind: 'jti', value: jti })).statusCode, 204, 'once more is no harm');
});

t.test('a token is revoked as it is, and its event says whose it was', async (t) => {
  const { id, tokens } = await somebody();
  t.equal((await revoke({ kind: 'jti', value: tokens.access_token })).statusCode, 204);
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  const { jti } = decodeJwt(tokens.access_token);
  const event = await rowOf(database, 'audit_events', `event = 'revocation.created' AND jti = '${jti}'`);
  t.match(event, {
    user_id: id,
    session_id: tokens.session_id,
    client_id: 'default',
    details: { kind: 'jti', value: jti },
  });
});

t.test('what is no token that could be revoked is said to be none, with the reason', async (t) => {
  const forge = await createForge(service, keks, (await somebody()).tokens.access_token);
  const now = Math.floor(clock.now() / 1000);
  const refused: [string, RegExp][] = [
    [forge.token({ claims: { exp: now - 6 } }), /expired/],
    [forge.token({ signer: () => new Uint8Array(256) }), /signature/],
    [forge.token({ claims: { iss: 'https://elsewhere.example' } }), /issuer/],
    ['a.b.c', /malformed/],
    ['two words', /malformed/],
    ['x'.repeat(129), /malformed/],
  ];
  for (const [value, reason] of refused) {
    const answer = await revoke({ kind: 'jti', value });
    isProblem(t, answer, 422, 'token_rejected', value.slice(0, 10));
    t.match(answer.json().detail, reason);
  }
});

t.test('a session ends', async (t) => {
  const { id, email, tokens } = await somebody();
  const other = await login(email);
  const about = { user_id: id, session_id: tokens.session_id, client_id: 'default' };
  await isRevoked(t, 'sid', tokens.session_id.toUpperCase(), about);
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
  isProblem(t, await refresh(tokens.refresh_token), 401, 'session_revoked');
  t.match(await rowOf(database, 'sessions', `id = '${tokens.session_id}'`), { revoke_reason: 'ended_by_admin' });
  t.equal((await get('/v1/me', other.access_token)).statusCode, 200, 'and no other one');
  t.equal((await revoke({ kind: 'sid', value: tokens.session_id })).statusCode, 204, 'once more is no harm');
});

t.test('everything of a user ends, and what he begins afterwards is good', async (t) => {
  const { id, email, tokens } = await somebody();
  const neighbour = await somebody();
  const second = await login(email);
  await isRevoked(t, 'sub', id, { user_id: id, details: { kind: 'sub', value: id, ended: 2 } });
  for (const { access_token, refresh_token } of [tokens, second]) {
    isBearerRefusal(t, await get('/v1/me', access_token), 'token_revoked');
    isProblem(t, await refresh(refresh_token), 401, 'session_revoked');
  }
  t.equal((await get('/v1/me', neighbour.tokens.access_token)).statusCode, 200);
  clock.advance(1);
  const { access_token: fresh } = await login(email);
  t.equal((await get('/v1/me', fresh)).statusCode, 200);
});

t.test('what the database does not know is revoked too: it may have been restored from a backup', async (t) => {
  await isRevoked(t, 'sid', UNKNOWN, { session_id: UNKNOWN });
  await isRevoked(t, 'sub', UNKNOWN, { user_id: UNKNOWN });
  await isRevoked(t, 'jti', 'a-jti-of-before', { jti: 'a-jti-of-before' });
  await isRevoked(t, 'client', 'gone', { client_id: 'gone' });
});

t.test('everything of a client ends, its own tokens too, and nothing of others', async (t) => {
  await services.clients.create({ clientId: 'web', name: 'Web', type: 'public', audiences: ['api'] });
  const { email, tokens } = await somebody();
  const onWeb = await login(email, { client_id: 'web' });
  const billing = await confidential('billing', { scopes: ['revocations:read'] });
  const own = await tokenOf(billing.basic);
  t.equal((await get('/v1/revocations', own)).statusCode, 200);
  await isRevoked(t, 'client', 'web', { client_id: 'web' });
  await isRevoked(t, 'client', 'billing', { client_id: 'billing' });
  isBearerRefusal(t, await get('/v1/me', onWeb.access_token), 'token_revoked');
  isProblem(t, await refresh(onWeb.refresh_token), 401, 'session_revoked');
  isBearerRefusal(t, await get('/v1/revocations', own), 'token_revoked');
  t.equal((await get('/v1/me', tokens.access_token)).statusCode, 200);
  clock.advance(1);
  const again = await login(email, { client_id: 'web' });
  t.equal((await get('/v1/me', again.access_token)).statusCode, 200);
  t.equal((await refresh(again.refresh_token)).statusCode, 200);
  t.equal((await get('/v1/revocations', await tokenOf(billing.basic))).statusCode, 200);
});

t.test('everything ends, the administrator’s own token with it, and everybody can log in again', async (t) => {
  const { email, tokens } = await somebody();
  await isRevoked(t, 'all', undefined);
  for (const { access_token, refresh_token } of [tokens, admin]) {
    isBearerRefusal(t, await get('/v1/me', access_token), 'token_revoked');
    isProblem(t, await refresh(refresh_token), 401, 'session_revoked');
  }
  isBearerRefusal(t, await revoke({ kind: 'all' }), 'token_revoked');
  clock.advance(1);
  admin = { ...admin, ...(await login('root@example.com', { client_id: 'keyturn-admin' })) };
  const again = await login(email);
  t.equal((await get('/v1/me', again.access_token)).statusCode, 200);
  t.equal((await refresh(again.refresh_token)).statusCode, 200);
});

t.test('it is done when every node knows it, and not before', async (t) => {
  const { id, tokens } = await somebody();
  const orders = [
    { kind: 'jti', value: decodeJwt(tokens.access_token).jti },
    { kind: 'sid', value: tokens.session_id },
    { kind: 'sub', value: id },
    { kind: 'client', value: 'gone' },
  ];
  for (const order of orders) {
    // An order that is waited for outlasts the lease.
    await services.revocations.follow();
    redis.break();
    const pending = await service.app.inject(requestOf(order));
    isProblem(t, pending, 503, 'revocation_pending', order.kind);
    t.match(pending.headers['retry-after'], /^[1-9]\d*$/);
    redis.mend();
    t.equal((await revoke(order)).statusCode, 204, `${order.kind}: the repetition says so`);
  }
  isBearerRefusal(t, await get('/v1/me', tokens.access_token), 'token_revoked');
});

t.test('an order that does not say what is meant is refused', async (t) => {
  const before = (await rowsOf(database, 'revocations')).length;
  const bad = [
    ...[{}, { kind: 'all', value: 'x' }, { kind: 'user', value: UNKNOWN }, { kind: 'jti' }, { kind: 'sid' }],
    ...[
      { kind: 'sid', value: 'x' },
      { kind: 'sub', value: 'ada@example.com' },
      { kind: 'client', value: 'a b' },
    ],
    ...[
      { kind: 'client', value: '' },
      { kind: 'jti', value: 'x'.repeat(8193) },
      { kind: 'all', more: true },
    ],
  ];
  for (const body of bad) isProblem(t, await revoke(body), 400, 'invalid_request', JSON.stringify(body).slice(0, 60));
  t.equal((await rowsOf(database, 'revocations')).length, before);
});
