/** POST /oauth/token: the standard token endpoint, for services. Refreshing is in oauth-refresh.test.ts. */
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { isOauthError, isProblem } from '../support/answers.js';
import { noteSecret } from '../support/run-log.js';
import { startService } from '../support/service.js';

const service = await startService(t);
const { call, get, clock, services } = service;

async function confidential(clientId: string, more: object = {}): Promise<string> {
  const fields = { clientId, name: clientId, type: 'confidential', audiences: ['ledger', 'stock'] } as const;
  const { secret } = await services.clients.create({ ...fields, scopes: ['read', 'write'], ...more });
  if (secret === null) throw new Error('a confidential client has a secret');
  noteSecret(secret);
  return secret;
}
const secret = await confidential('billing');

const basicOf = (clientId: string, password: string) => {
  const credentials = Buffer.from(`${clientId}:${password}`).toString('base64');
  noteSecret(credentials);
  return { authorization: `Basic ${credentials}` };
};
const basic = basicOf('billing', secret);

const send = (form: Record<string, string> | string, headers: Record<string, string> = {}) =>
  call({
    method: 'POST',
    url: '/oauth/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  });
const credentials = { grant_type: 'client_credentials' };

async function claimsOf(t: Test, form: Record<string, string>) {
  const response = await send({ ...credentials, ...form }, basic);
  t.equal(response.statusCode, 200, JSON.stringify(form));
  return decodeJwt(response.json().access_token);
}

t.test('a service gets a token in its own name, of no session', async (t) => {
  const response = await send(credentials, basic);
  t.equal(response.statusCode, 200);
  t.equal(response.headers['cache-control'], 'no-store');
  const { access_token: token, ...rest } = response.json();
  t.strictSame(rest, { token_type: 'Bearer', expires_in: 900, scope: 'read write' });
  const now = Math.floor(clock.now() / 1000);
  const { jti, ...claims } = decodeJwt(token);
  t.match(jti, /^[A-Za-z0-9_-]{22}$/);
  t.strictSame(claims, {
    iss: 'http://127.0.0.1:3000',
    sub: 'billing',
    aud: 'ledger',
    iat: now,
    nbf: now,
    exp: now + 900,
    client_id: 'billing',
    scope: 'read write',
  });
  isProblem(t, await get('/v1/me', token), 403, 'session_required');
  t.not(decodeJwt((await send(credentials, basic)).json().access_token).jti, jti, 'each has its own jti');
});

t.test('a client authenticates in the header or in the body', async (t) => {
  t.equal((await send({ ...credentials, client_id: 'billing', client_secret: secret })).statusCode, 200);
  t.equal((await send({ ...credentials, client_id: 'billing' }, basic)).statusCode, 200, 'named twice, once proved');
  const twice = { ...credentials, client_id: 'billing', client_secret: secret };
  isOauthError(t, await send(twice, basic), 400, 'invalid_request', 'in both');
  isOauthError(t, await send({ ...credentials, client_id: 'other' }, basic), 400, 'invalid_request', 'two names');
  isOauthError(t, await send({ ...credentials, client_secret: secret }), 400, 'invalid_request', 'a secret of nobody');
});

t.test('a client that cannot prove who it is gets nothing', async (t) => {
  const wrong: Record<string, Record<string, string>> = {
    'a wrong secret': basicOf('billing', `${secret}x`),
    'no secret': basicOf('billing', ''),
    'an unknown client': basicOf('nobody', secret),
    'a public client': basicOf('default', ''),
    'a public client with a secret': basicOf('default', secret),
    'no client': basicOf('', secret),
    'no pair': { authorization: `Basic ${Buffer.from('billing').toString('base64')}` },
    'no base64': { authorization: 'Basic !' },
    'no form encoding': basicOf('billing', '%zz'),
    'no Basic': { authorization: 'Bearer x' },
    'nothing at all': {},
  };
  for (const [name, headers] of Object.entries(wrong)) {
    isOauthError(t, await send(credentials, headers), 401, 'invalid_client', name);
  }
  for (const client of ['default', 'billing']) {
    isOauthError(
      t,
      await send({ ...credentials, client_id: client }),
      401,
      'invalid_client',
      `${client} by name alone`,
    );
  }
  isOauthError(t, await send({ ...credentials, client_id: 'billing', client_secret: 'x' }), 401, 'invalid_client');
  const bodies = [basicOf('billing', 'x'), basicOf('nobody', 'x')].map(async (h) => (await send(credentials, h)).body);
  t.equal(await bodies[0], await bodies[1], 'an unknown client looks like a wrong secret');
});

t.test('a client may not use a grant that it does not have', async (t) => {
  const other = await confidential('no-grants', { grants: ['refresh_token'] });
  isOauthError(t, await send(credentials, basicOf('no-grants', other)), 400, 'unauthorized_client');
});

t.test('the audience is one of the client’s, named either way', async (t) => {
  t.equal((await claimsOf(t, {})).aud, 'ledger');
  t.equal((await claimsOf(t, { audience: 'stock' })).aud, 'stock');
  t.equal((await claimsOf(t, { resource: 'stock' })).aud, 'stock');
  t.equal((await claimsOf(t, { audience: 'stock', resource: 'stock' })).aud, 'stock');
  t.equal((await claimsOf(t, { audience: '' })).aud, 'ledger', 'an empty parameter is none');
  for (const form of [{ audience: 'api' }, { resource: 'api' }, { audience: 'LEDGER' }]) {
    isOauthError(t, await send({ ...credentials, ...form }, basic), 400, 'invalid_target', JSON.stringify(form));
  }
  const differing = { ...credentials, audience: 'stock', resource: 'ledger' };
  isOauthError(t, await send(differing, basic), 400, 'invalid_request');
});

t.test('the scope is among the client’s', async (t) => {
  t.equal((await claimsOf(t, { scope: 'write' })).scope, 'write');
  t.equal((await claimsOf(t, { scope: 'write read' })).scope, 'write read');
  t.equal((await claimsOf(t, { scope: '' })).scope, 'read write', 'an empty parameter is none');
  for (const scope of ['admin', 'read admin', 'READ']) {
    isOauthError(t, await send({ ...credentials, scope }, basic), 400, 'invalid_scope', scope);
  }
});

t.test('other grants are not supported', async (t) => {
  for (const grant of ['password', 'authorization_code', 'Refresh_Token', 'x']) {
    isOauthError(t, await send({ grant_type: grant }, basic), 400, 'unsupported_grant_type', grant);
  }
  isOauthError(t, await send({}, basic), 400, 'invalid_request', 'none');
  isOauthError(t, await send({ grant_type: '' }, basic), 400, 'invalid_request', 'an empty one');
});

t.test('a request is a form with each parameter once, and unknown ones are ignored', async (t) => {
  t.equal((await claimsOf(t, { foo: 'bar', constructor: 'x', __proto__: 'y' })).sub, 'billing');
  t.equal((await send('&grant_type=client_credentials&&=x&', basic)).statusCode, 200, 'empty pairs are nothing');
  for (const form of [
    'grant_type=client_credentials&grant_type=client_credentials',
    'grant_type=client_credentials&scope=read&scope=write',
    'grant_type=client_credentials&foo=1&foo=2',
    'grant_type=client_credentials&scope=%zz',
    'grant_type=client_credentials&scope=%ff',
    `grant_type=client_credentials&scope=${encodeURIComponent('a"b')}`,
  ]) {
    isOauthError(t, await send(form, basic), 400, 'invalid_request', form);
  }
  const json = { ...basic, 'content-type': 'application/json' };
  isOauthError(t, await send(JSON.stringify(credentials), json), 415, 'invalid_request');
  isOauthError(t, await send('x'.repeat(16 * 1024 + 1), basic), 413, 'invalid_request');
  const other = await call({ method: 'GET', url: '/oauth/token' });
  isOauthError(t, other, 405, 'invalid_request');
  t.equal(other.headers.allow, 'POST');
});

t.test('the query is not looked at', async (t) => {
  const ask = (query: Record<string, string>, headers: Record<string, string>) =>
    call({
      method: 'POST',
      url: `/oauth/token?${new URLSearchParams(query)}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      payload: new URLSearchParams(credentials).toString(),
    });
  t.equal((await ask({ grant_type: 'nonsense', scope: 'nonsense', foo: '1' }, basic)).statusCode, 200);
  isOauthError(t, await ask({ client_id: 'billing', client_secret: secret }, {}), 401, 'invalid_client');
});
