/** Claims that are missing, mistyped, foreign or of another time, in tokens whose signature is right. */
import t, { type Test } from 'tap';
import { isBearerRefusal } from '../support/answers.js';
import { createForge } from '../support/forge.js';
import { ISSUER, startService, testKeks } from '../support/service.js';

const keks = testKeks();
const service = await startService(t, { keks });
await service.register();
const { access_token: genuine } = await service.login();
const forge = await createForge(service, keks, genuine);
const now = Math.floor(service.clock.now() / 1000);

const ask = (claims: Record<string, unknown>) => service.get('/v1/me', forge.token({ claims }));

async function eachIs(t: Test, code: string, name: string, values: readonly unknown[]): Promise<void> {
  for (const value of values) {
    isBearerRefusal(t, await ask({ [name]: value }), code, `${name} ${JSON.stringify(value)}`);
  }
}

async function eachIsFine(t: Test, name: string, values: readonly unknown[]): Promise<void> {
  for (const value of values)
    t.equal((await ask({ [name]: value })).statusCode, 200, `${name} ${JSON.stringify(value)}`);
}

t.test('exp, iat, jti, sub, iss and aud must be there', async (t) => {
  for (const name of ['exp', 'iat', 'jti', 'sub', 'iss', 'aud'])
    await eachIs(t, 'token_malformed', name, [undefined, null]);
});

t.test('times are numbers', async (t) => {
  for (const name of ['exp', 'iat', 'nbf']) await eachIs(t, 'token_malformed', name, [String(now), true, [now], {}]);
  for (const name of ['exp', 'iat', 'nbf']) {
    const claimsBytes = JSON.stringify(forge.claims).replace(new RegExp(`"${name}":\\d+`), `"${name}":1e999`);
    t.match(claimsBytes, '1e999');
    const response = await service.get('/v1/me', forge.token({ claimsBytes }));
    isBearerRefusal(t, response, 'token_malformed', `${name} is beyond all numbers`);
  }
});

t.test('names are strings', async (t) => {
  for (const name of ['jti', 'sub', 'iss']) await eachIs(t, 'token_malformed', name, [7, true, ['x'], {}]);
  for (const name of ['client_id', 'scope']) await eachIs(t, 'token_malformed', name, [7, null, ['x'], {}]);
});

t.test('an audience is a string or a list of strings, and not an empty one', async (t) => {
  await eachIs(t, 'token_malformed', 'aud', [7, true, {}, [], ['api', 7], [['api']], [null]]);
  await eachIsFine(t, 'aud', ['api', ['api'], ['other', 'api'], 'any other']);
});

t.test('the issuer is this one, to the letter', async (t) => {
  const wrong = [
    'https://elsewhere.example',
    `${ISSUER}/`,
    ISSUER.toUpperCase(),
    `${ISSUER}.evil.example`,
    ` ${ISSUER}`,
    '',
  ];
  await eachIs(t, 'invalid_issuer', 'iss', wrong);
});

t.test('a token works from its nbf and its iat on, five seconds early', async (t) => {
  for (const name of ['nbf', 'iat']) {
    await eachIsFine(t, name, [0, now - 100, now, now + 4, now + 5]);
    await eachIs(t, 'token_not_yet_valid', name, [now + 6, now + 900, Number.MAX_VALUE]);
  }
  t.equal((await ask({ nbf: undefined })).statusCode, 200, 'RFC 9068 does not ask for nbf');
});

t.test('a token works until its exp, five seconds late', async (t) => {
  await eachIsFine(t, 'exp', [now - 4, now, now + 1, now + 86_400]);
  await eachIs(t, 'token_expired', 'exp', [now - 5, now - 6, 0, -1]);
});

t.test('fractions of a second are read as what they are', async (t) => {
  await eachIsFine(t, 'exp', [now - 4.5]);
  await eachIs(t, 'token_expired', 'exp', [now - 5.5]);
});

t.test('claims that were changed after the signature do not pass', async (t) => {
  const [header, , signature] = genuine.split('.');
  const changed = { sub: 'somebody-else', roles: ['admin'], scope: 'everything', exp: now + 1e9, aud: 'keyturn-admin' };
  for (const [name, value] of Object.entries(changed)) {
    const claims = Buffer.from(JSON.stringify({ ...forge.claims, [name]: value })).toString('base64url');
    const response = await service.get('/v1/me', `${header}.${claims}.${signature}`);
    isBearerRefusal(t, response, 'invalid_signature', name);
  }
});

t.test('a subject that is not the session’s owner gets nowhere', async (t) => {
  await eachIs(t, 'token_revoked', 'sub', ['default', '', '0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b']);
});

t.test('the signature is checked before the claims, so that a stranger learns nothing of them', async (t) => {
  const claims = { iss: 'https://elsewhere.example', exp: 0 };
  const response = await service.get('/v1/me', forge.token({ claims, signer: () => new Uint8Array(256) }));
  isBearerRefusal(t, response, 'invalid_signature');
});
