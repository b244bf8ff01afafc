/** Whatever revokes has done so when it answers: the token is refused, and the feed says why. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { adminTokens } from '../support/administrator.js';
import { isBearerRefusal } from '../support/answers.js';
import { oauthOf } from '../support/oauth.js';
import { PASSWORD, startService, type Tokens } from '../support/service.js';

const service = await startService(t);
const { clock, get, post, login, refresh } = service;
const { send, confidential, tokenOf } = oauthOf(service);
const admin = await adminTokens(service);
const reader = await confidential('reader', { scopes: ['revocations:read'] });
const feedToken = await tokenOf(reader.basic);

interface Victim {
  id: string;
  email: string;
  clientId: string;
  tokens: Tokens;
  /** Another session of the same user. */
  other: Tokens;
}

const json = { 'content-type': 'application/json' };
const call = (method: 'POST' | 'PUT' | 'DELETE', url: string, bearer: string, body?: object) =>
  service.call({
    method,
    url,
    headers: { authorization: `Bearer ${bearer}`, ...(body && json) },
    ...(body && { payload: JSON.stringify(body) }),
  });
const asAdmin = (method: 'POST' | 'PUT' | 'DELETE', path: string, body?: object) =>
  call(method, `/v1/admin${path}`, admin.access_token, body);
const order = (kind: string, value?: string) => asAdmin('POST', '/revocations', { kind, value });

const ways: Record<string, (victim: Victim) => Promise<{ statusCode: number }>> = {
  'logout with the access token': ({ tokens }) => call('POST', '/v1/logout', tokens.access_token),
  'logout with the refresh token': ({ tokens }) => post('/v1/logout', { refresh_token: tokens.refresh_token }),
  'ending one session': ({ tokens, other }) => call('DELETE', `/v1/sessions/${tokens.session_id}`, other.access_token),
  'ending all other sessions': ({ other }) => call('DELETE', '/v1/sessions', other.access_token),
  'ending all sessions': ({ tokens }) => call('DELETE', '/v1/sessions?include_current=true', tokens.access_token),
  'a change of the password': ({ other }) =>
    call('POST', '/v1/me/password', other.access_token, {
      current_password: PASSWORD,
      new_password: 'another walk by the sea',
    }),
  'reuse of a refresh token': async ({ tokens }) => {
    await refresh((await refresh(tokens.refresh_token)).json().refresh_token);
    clock.advance(60);
    return refresh(tokens.refresh_token);
  },
  'giving back the refresh token': ({ tokens, clientId }) =>
    send('/oauth/revoke', { token: tokens.refresh_token, client_id: clientId }),
  'giving back the access token': ({ tokens, clientId }) =>
    send('/oauth/revoke', { token: tokens.access_token, client_id: clientId }),
  'setting the password': ({ id }) => asAdmin('PUT', `/users/${id}/password`, {}),
  'disabling the user': ({ id }) => asAdmin('POST', `/users/${id}/disable`),
  'ending the sessions of the user': ({ id }) => asAdmin('DELETE', `/users/${id}/sessions`),
  'deleting the user': ({ id }) => asAdmin('DELETE', `/users/${id}`),
  'deleting the client': ({ clientId }) => asAdmin('DELETE', `/clients/${clientId}`),
  'revoking the token': ({ tokens }) => order('jti', decodeJwt(tokens.access_token).jti),
  'revoking the session': ({ tokens }) => order('sid', tokens.session_id),
  'revoking the user': ({ id }) => order('sub', id),
  'revoking the client': ({ clientId }) => order('client', clientId),
  // The last: it takes the administrator's token too.
  'revoking everything': () => order('all'),
};

let numbered = 0;
async function makeVictim(): Promise<Victim> {
  const email = `victim-${++numbered}@example.com`;
  const clientId = `app-${numbered}`;
  const id = await service.register(email);
  await service.services.clients.create({ clientId, name: 'App', type: 'public', audiences: ['api'] });
  const tokens = await login(email, { client_id: clientId });
  return { id, email, clientId, tokens, other: await login(email, { client_id: clientId }) };
}

/** The feed's rules after the cursor that concern the token, as a verifier would find them. */
async function rulesFor(token: string, cursor: string): Promise<string[]> {
  const { jti, sid, sub, client_id: client, iat = 0 } = decodeJwt(token) as Record<string, string> & { iat?: number };
  const values: Record<string, string | null | undefined> = { jti, sid, sub, client, all: null };
  const { revocations } = (await get(`/v1/revocations?after=${cursor}`, feedToken)).json();
  return revocations
    .filter(({ kind, value }: Record<string, string>) => values[String(kind)] === value)
    .filter(
      ({ not_before }: { not_before: string | null }) => not_before === null || iat < Date.parse(not_before) / 1000,
    )
    .map(({ kind }: { kind: string }) => kind);
}

for (const [way, revoke] of Object.entries(ways)) {
  t.test(`${way} has taken effect when it answers`, async (t) => {
    const victim = await makeVictim();
    const token = victim.tokens.access_token;
    t.equal((await get('/v1/me', token)).statusCode, 200);
    const { cursor } = (await get('/v1/revocations', feedToken)).json();
    t.same(await rulesFor(token, cursor), []);
    const { statusCode } = await revoke(victim);
    t.equal(
      statusCode,
      way.startsWith('reuse') ? 401 : way.startsWith('giving') ? 200 : statusCode === 204 ? 204 : 200,
    );
    t.ok(service.services.revocations.covers({ ...tokenClaims(token) }), 'this node refuses it');
    if (way !== 'revoking everything') t.not((await rulesFor(token, cursor)).length, 0, 'the feed says so');
    isBearerRefusal(t, await get('/v1/me', token), 'token_revoked');
  });
}

/** As revocation looks at them. */
function tokenClaims(token: string) {
  const { jti = '', sid, sub = '', client_id, iat = 0 } = decodeJwt(token) as Record<string, string> & { iat?: number };
  return { jti, sid: sid ?? null, sub, clientId: client_id ?? null, iat };
}
