/** Other people's libraries against a service that really listens. */
import { createVerifier } from 'fast-jwt';
import buildGetJwks from 'get-jwks';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import jwt from 'jsonwebtoken';
import { JwksClient } from 'jwks-rsa';
import * as oauth from 'oauth4webapi';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/adapters/system/clock.js';
import { noteSecretsOf } from '../support/run-log.js';
import { freePort } from '../support/servers.js';
import { execute, type ServiceOptions, startService, type TestService } from '../support/service.js';

/** The issuer is the address, so the port has to be known before there is a service. */
async function listening(t: Test, options: ServiceOptions = {}): Promise<{ service: TestService; issuer: string }> {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const service = await startService(t, {
    ...options,
    clock: systemClock,
    env: { ISSUER: issuer, ...options.env },
  });
  await service.app.listen({ host: '127.0.0.1', port });
  return { service, issuer };
}

const { service, issuer } = await listening(t);
const userId = await service.register();
const { access_token: token } = await service.login();
const jwksUri = `${issuer}/.well-known/jwks.json`;
const expected = { iss: issuer, sub: userId, aud: 'api', client_id: 'default' };

t.test('jose verifies a token with the published keys', async (t) => {
  const keys = createRemoteJWKSet(new URL(jwksUri));
  const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer, audience: 'api', typ: 'at+jwt' });
  t.match(payload, expected);
  t.equal(protectedHeader.alg, 'RS256');
  await t.rejects(jwtVerify(token, keys, { issuer, audience: 'admin-api' }), {
    code: 'ERR_JWT_CLAIM_VALIDATION_FAILED',
  });
});

t.test('jwks-rsa finds the key with which jsonwebtoken verifies a token', async (t) => {
  const client = new JwksClient({ jwksUri });
  const key = await client.getSigningKey(decodeProtectedHeader(token).kid);
  const payload = jwt.verify(token, key.getPublicKey(), { algorithms: ['RS256'], issuer, audience: 'api' });
  t.match(payload, expected);
  t.equal((await client.getSigningKeys()).length, 1);
});

t.test('get-jwks finds the key with which fast-jwt verifies a token, discovery included', async (t) => {
  const jwks = buildGetJwks({ providerDiscovery: true, issuersWhitelist: [issuer] });
  const verify = createVerifier({
    key: async ({ header }: { header: Record<string, string | undefined> }) =>
      jwks.getPublicKey({ kid: header.kid ?? '', alg: header.alg ?? '', domain: issuer }),
    algorithms: ['RS256'],
    allowedIss: issuer,
    allowedAud: 'api',
  });
  t.match(await verify(token), expected);
});

const insecure = { [oauth.allowInsecureRequests]: true };

async function discover(algorithm: 'oauth2' | 'oidc'): Promise<oauth.AuthorizationServer> {
  const url = new URL(issuer);
  return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm, ...insecure }));
}

t.test('oauth4webapi discovers the service at both well-known places', async (t) => {
  const [oauth2, oidc] = [await discover('oauth2'), await discover('oidc')];
  t.match(oauth2, { issuer, token_endpoint: `${issuer}/oauth/token`, jwks_uri: jwksUri });
  t.strictSame(oidc, oauth2);
});

t.test('oauth4webapi refreshes the tokens of a public client, with and without a key', async (t) => {
  const as = await discover('oauth2');
  const client = { client_id: 'default' };
  const grant = async (refreshToken: string | undefined, headers: Record<string, string> = {}) => {
    const options = { ...insecure, headers };
    const response = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), refreshToken ?? '', options);
    noteSecretsOf(await response.clone().text());
    return oauth.processRefreshTokenResponse(as, client, response);
  };

  await t.test('one after the other', async (t) => {
    let { refresh_token: token } = await service.login();
    for (let n = 1; n <= 8; n++) {
      const next = await grant(token, n % 2 === 0 ? { 'idempotency-key': `key-${n}` } : {});
      t.match(next, { token_type: 'bearer', expires_in: 900, refresh_token: /^ktr_/ });
      t.not(next.refresh_token, token);
      token = String(next.refresh_token);
    }
  });

  await t.test('two at once, which get the same refresh token', async (t) => {
    const { refresh_token: token } = await service.login();
    const [a, b] = await Promise.all([grant(token), grant(token)]);
    t.match(a.refresh_token, /^ktr_/);
    t.equal(a.refresh_token, b.refresh_token);
    t.match(await grant(a.refresh_token), { refresh_token: /^ktr_/ });
  });

  await t.test('again with its key, which gets the same answer', async (t) => {
    const { refresh_token: token } = await service.login();
    const key = { 'idempotency-key': 'a-key' };
    const [first, retry] = [await grant(token, key), await grant(token, key)];
    t.equal(retry.refresh_token, first.refresh_token);
    t.equal(retry.access_token, first.access_token);
  });

  await t.test('and is told of a bad one', async (t) => {
    const { refresh_token: token } = await service.login();
    for (const bad of [`${token.slice(0, -4)}AAAA`, token.slice(0, 40), `${token}=`]) {
      const refused = await grant(bad).catch((error: unknown) => error);
      t.match(refused, { error: 'invalid_grant', status: 400 });
    }
  });
});

t.test('oauth4webapi gets tokens for a service, however the client authenticates', async (t) => {
  const as = await discover('oidc');
  // Blanks and such in an id show whether both sides encode Basic credentials alike (RFC 6749 §2.3.1).
  const fields = { clientId: 'billing+svc:1%', name: 'Billing', type: 'confidential', audiences: ['ledger'] } as const;
  const { secret } = await service.services.clients.create({ ...fields, scopes: ['ledger:read'] });
  if (secret === null) throw new Error('a confidential client has a secret');
  noteSecretsOf({ client_secret: secret });
  const client = { client_id: fields.clientId };
  const keys = createRemoteJWKSet(new URL(jwksUri));
  for (const authentication of [oauth.ClientSecretBasic(secret), oauth.ClientSecretPost(secret)]) {
    const asked = new URLSearchParams({ scope: 'ledger:read', resource: 'ledger' });
    const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, asked, insecure);
    noteSecretsOf(await response.clone().text());
    const result = await oauth.processClientCredentialsResponse(as, client, response);
    const { payload } = await jwtVerify(result.access_token, keys, { issuer, audience: 'ledger', typ: 'at+jwt' });
    t.match(payload, { sub: fields.clientId, client_id: fields.clientId, scope: 'ledger:read' });
  }
  const wrong = oauth.ClientSecretBasic(`${secret}x`);
  const response = await oauth.clientCredentialsGrantRequest(as, client, wrong, {}, insecure);
  const refused = await oauth.processClientCredentialsResponse(as, client, response).catch((error: unknown) => error);
  t.match(refused, { status: 401 });
});

t.test('tokens of every signing algorithm verify', async (t) => {
  for (const alg of ['PS256', 'ES256', 'EdDSA']) {
    await t.test(alg, async (t) => {
      // Without keys the database is as at a first start.
      await execute(service.database, 'DELETE FROM signing_keys');
      const other = await listening(t, { database: service.database, env: { SIGNING_ALG: alg } });
      const { issuer } = other;
      const { access_token: token } = await other.service.login();
      t.equal((await other.service.get('/v1/me', token)).statusCode, 200, 'by the service itself');
      const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
      const { protectedHeader } = await jwtVerify(token, keys, { issuer, audience: 'api', algorithms: [alg] });
      t.match(protectedHeader, { alg, typ: 'at+jwt' });
    });
  }
});
