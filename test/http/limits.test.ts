/** Failed attempts at every route that checks a secret or a token, by the address that they come from. */
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { isProblem } from '../support/answers.js';
import { fastDatabase } from '../support/databases.js';
import { codeOf, PASSWORD, rowsOf, startService, testKeks } from '../support/service.js';
import { answerOf, faultsOf } from './refusals.js';

const database = await fastDatabase(t);
const keks = testKeks();
const HOME = '192.0.2.1';
const ELSEWHERE = '198.51.100.7';
const FORGED = `ktr_${'A'.repeat(90)}Q`;
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const UNKNOWN_KEY = `${part({ alg: 'RS256', kid: 'nobody', typ: 'at+jwt' })}.${part({ sub: 'nobody' })}.AAAA`;

let people = 0;

/** Somebody logged in on a service that blocks after so many failures. */
async function setUp(t: Test, env: Record<string, string> = {}) {
  const service = await startService(t, { database, keks, env: { LIMIT_FAILURES: '3', ...env } });
  const email = `person${people++}@example.com`;
  const userId = await service.register(email);
  const tokens = await service.login(email, { client_id: 'default' });
  const from =
    (remoteAddress: string) =>
    (method: 'GET' | 'POST', url: string, more: InjectOptions = {}): Promise<LightMyRequestResponse> =>
      service.call({ method, url, remoteAddress, ...more });
  const login = (address: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
    from(address)('POST', '/v1/login', { payload: { email, password: PASSWORD, ...more }, headers });
  const isBlocked = async (address: string) => {
    const response = await login(address, { email: 'nobody@example.com', password: 'no matter' });
    return codeOf(response) === 'too_many_attempts';
  };
  return { service, email, userId, tokens, from, login, isBlocked };
}
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const times = async (n: number, work: () => Promise<LightMyRequestResponse>) => {
  const codes: string[] = [];
  for (let i = 0; i < n; i++) codes.push(codeOf(await work()));
  return codes;
};

t.test('a bad token is a guess, wherever it is presented', async (t) => {
  const { service, tokens, from } = await setUp(t);
  const [header = '', claims = '', signature = ''] = tokens.access_token.split('.');
  const wrong = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);
  const guesses: [code: string, request: (ip: string) => Promise<LightMyRequestResponse>][] = [
    ['token_malformed', (ip) => from(ip)('GET', '/v1/me', bearer('what'))],
    ['token_malformed', (ip) => from(ip)('GET', '/v1/sessions', { headers: { authorization: 'Bearer ä' } })],
    ['invalid_signature', (ip) => from(ip)('GET', '/v1/me', bearer(`${header}.${claims}.${wrong}`))],
    ['unknown_key', (ip) => from(ip)('GET', '/v1/sessions', bearer(UNKNOWN_KEY))],
    ['token_malformed', (ip) => from(ip)('POST', '/v1/logout', { headers: { authorization: 'Bearer ä' } })],
    ['token_malformed', (ip) => from(ip)('GET', '/v1/admin/users', bearer('a.b.c'))],
    ['token_malformed', (ip) => from(ip)('GET', '/v1/revocations', bearer('a.b.c'))],
    ['invalid_refresh_token', (ip) => from(ip)('POST', '/v1/refresh', { payload: { refresh_token: FORGED } })],
  ];
  for (const [i, [code, guess]] of guesses.entries()) {
    const ip = `192.0.2.${100 + i}`;
    t.strictSame(await times(3, () => guess(ip)), [code, code, code]);
    const blocked = await guess(ip);
    isProblem(t, blocked, 429, 'too_many_attempts');
    t.strictSame(faultsOf(answerOf(blocked)), []);
    t.equal(blocked.headers['retry-after'], '300');
    t.equal((await from(ip)('GET', '/v1/me', bearer(tokens.access_token))).statusCode, 200, 'the genuine one passes');
    t.equal(codeOf(await from(ip)('GET', '/v1/me')), 'token_missing', 'and none at all is none');
  }
  t.equal(service.logs.filter(({ msg }) => msg === 'unexpected failure').length, 0);
});

t.test('a wrong client secret is a guess', async (t) => {
  const { service, from, isBlocked } = await setUp(t);
  const clientId = `service${people}`;
  const fields = { clientId, name: 'A service', type: 'confidential', audiences: ['api'] } as const;
  const { secret } = await service.services.clients.create(fields);
  const ask = (url: string, ip: string, client_secret: string | null, more: Record<string, string> = {}) =>
    from(ip)('POST', url, {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ client_id: clientId, client_secret: client_secret ?? '', ...more }).toString(),
    });
  for (const [i, url] of ['/oauth/token', '/oauth/introspect', '/oauth/revoke'].entries()) {
    const ip = `192.0.2.${200 + i}`;
    const more = { grant_type: 'client_credentials', token: 'x' };
    for (let n = 0; n < 3; n++) t.match((await ask(url, ip, 'a guess', more)).json(), { error: 'invalid_client' });
    const blocked = await ask(url, ip, secret, more);
    t.equal(blocked.statusCode, 429, `${url}: the right one is not looked at`);
    t.ok(await isBlocked(ip));
  }
  t.equal((await ask('/oauth/introspect', HOME, secret, { token: 'x' })).statusCode, 200);
  for (let n = 0; n < 5; n++) await ask('/oauth/introspect', HOME, secret, { token: FORGED });
  t.notOk(await isBlocked(HOME), 'what a service is asked to let pass is not the service’s guess');
});

t.test('a service that has proved who it is does not answer for the tokens that its users give it', async (t) => {
  const { service, from, isBlocked } = await setUp(t, { TRUST_PROXY: '127.0.0.1' });
  const clientId = `web${people}`;
  const fields = { clientId, name: 'A web server', type: 'confidential', audiences: ['api'] } as const;
  const { secret } = await service.services.clients.create({ ...fields, grants: ['refresh_token'] });
  const refresh = (ip: string, credentials: Record<string, string>, headers: Record<string, string> = {}) =>
    from(ip)('POST', '/oauth/token', {
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      payload: new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: FORGED,
        ...credentials,
      }).toString(),
    });
  const proof = { client_id: clientId, client_secret: secret ?? '' };
  for (let i = 0; i < 5; i++) t.match((await refresh(HOME, proof)).json(), { error: 'invalid_grant' });
  t.notOk(await isBlocked(HOME));
  for (let i = 0; i < 3; i++) await refresh('127.0.0.1', proof, { 'x-forwarded-for': ELSEWHERE });
  t.ok(await isBlocked(ELSEWHERE), 'the user of whom a proxy tells does');
  for (let i = 0; i < 3; i++) await refresh(HOME, { client_id: 'default' });
  t.ok(await isBlocked(HOME), 'and whoever has only said who he is');
});

t.test('a genuine token that is no good any more is no guess', async (t) => {
  const { service, tokens, from, email, isBlocked } = await setUp(t, { LIMIT_FAILURES: '1' });
  const other = await service.login(email);
  await service.call({ method: 'POST', url: '/v1/logout', ...bearer(other.access_token) });
  t.equal(codeOf(await from(HOME)('GET', '/v1/me', bearer(other.access_token))), 'token_revoked');
  t.equal(
    codeOf(await from(HOME)('POST', '/v1/refresh', { payload: { refresh_token: other.refresh_token } })),
    'session_revoked',
  );
  const asClient = from(HOME)('POST', '/oauth/token', {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token,
      client_id: 'another',
    }).toString(),
  });
  t.match((await asClient).json(), { error: 'invalid_grant' });
  service.clock.advance(906);
  t.equal(codeOf(await from(HOME)('GET', '/v1/me', bearer(tokens.access_token))), 'token_expired');
  t.notOk(await isBlocked(HOME));
});

t.test('nor is one of a signing key that was revoked', async (t) => {
  const { service, tokens, from, isBlocked } = await setUp(t, { LIMIT_FAILURES: '1' });
  const { keys, signingKeys } = service.services;
  const { kid } = keys.signingKey();
  const by = { actor: 'cli:test', userId: null, caller: { ip: null, place: null, userAgent: null, requestId: null } };
  t.equal(
    codeOf(await from(ELSEWHERE)('GET', '/v1/me', bearer(UNKNOWN_KEY))),
    'unknown_key',
    'the node has just looked',
  );
  await signingKeys.revoke(kid, { compromised: true }, by);
  t.equal(codeOf(await from(HOME)('GET', '/v1/me', bearer(tokens.access_token))), 'unknown_key');
  t.notOk(await isBlocked(HOME));
});

t.test('whoever is asked by a gateway counts the address that the gateway tells of, and none other', async (t) => {
  const url = '/v1/authorize?audience=api';
  const alone = await setUp(t);
  const check = (ip: string, headers: Record<string, string> = {}) =>
    alone.from(ip)('GET', url, { headers: { authorization: 'Bearer a.b.c', ...headers } });
  t.strictSame(new Set(await times(10, () => check(HOME))), new Set(['token_malformed']));
  t.strictSame(
    new Set(await times(10, () => check(HOME, { 'x-forwarded-for': ELSEWHERE }))),
    new Set(['token_malformed']),
    'nobody is believed',
  );
  t.notOk(await alone.isBlocked(HOME), 'the gateway is not its clients');
  t.notOk(await alone.isBlocked(ELSEWHERE));

  const told = await setUp(t, { TRUST_PROXY: '127.0.0.1' });
  const through = (client: string | null, token = 'a.b.c') =>
    told.from('127.0.0.1')('GET', url, {
      headers: { authorization: `Bearer ${token}`, ...(client === null ? {} : { 'x-forwarded-for': client }) },
    });
  t.strictSame(await times(4, () => through(ELSEWHERE)), [
    'token_malformed',
    'token_malformed',
    'token_malformed',
    'too_many_attempts',
  ]);
  t.equal((await through(ELSEWHERE, told.tokens.access_token)).statusCode, 200, 'a genuine token passes');
  t.equal((await through('198.51.100.8', told.tokens.access_token)).statusCode, 200);
  t.strictSame(new Set(await times(10, () => through(null))), new Set(['token_malformed']));
  t.notOk(await told.isBlocked('127.0.0.1'));
});

t.test('X-Forwarded-For is believed of proxies alone, as far as they can know', async (t) => {
  const { login } = await setUp(t);
  for (let i = 0; i < 3; i++) await login(HOME, { password: 'a guess' }, { 'x-forwarded-for': `203.0.113.${i}` });
  t.equal(codeOf(await login(HOME, {}, { 'x-forwarded-for': '203.0.113.9' })), 'too_many_attempts', 'no way around it');
  t.equal((await login('203.0.113.1')).statusCode, 200, 'and nobody else is blocked by it');

  const proxied = await setUp(t, { TRUST_PROXY: '127.0.0.1, 10.0.0.0/8' });
  const via = (forwarded: string, password = 'a guess') =>
    proxied.login('127.0.0.1', { password }, { 'x-forwarded-for': forwarded });
  const invented = Array.from({ length: 1000 }, (_, i) => `9.9.${i >> 8}.${i & 255}`);
  for (const forwarded of [
    `${invented.join(',')}, 203.0.113.50`,
    `unknown, ${'x'.repeat(3000)}, 203.0.113.50, 10.1.2.3`,
    '::ffff:203.0.113.50',
  ]) {
    t.equal(codeOf(await via(forwarded)), 'invalid_credentials');
  }
  t.equal(codeOf(await via('203.0.113.50', PASSWORD)), 'too_many_attempts', 'one address, however it came');
  t.equal((await via('203.0.113.51', PASSWORD)).statusCode, 200);
  t.equal((await via(invented.join(','), PASSWORD)).statusCode, 200);
  for (const i of [1, 2, 3]) await via(`2001:db8:0:1::${i}`);
  t.equal(codeOf(await via('2001:db8:0:1:ffff::', PASSWORD)), 'too_many_attempts', 'IPv6 by /64');
  t.equal((await via('2001:db8:0:2::1', PASSWORD)).statusCode, 200);
  const odd = ['unknown', '', ',,,', '1.2.3.4, x'];
  const codes: string[] = [];
  for (const forwarded of odd) codes.push(codeOf(await via(forwarded)));
  const [wrong, blocked] = ['invalid_credentials', 'too_many_attempts'];
  t.strictSame(codes, [wrong, wrong, wrong, blocked], 'what is no address is counted for the proxy');
});

t.test('the audit trail tells when a block began and when it ended', async (t) => {
  const { service, login } = await setUp(t);
  const { blocks } = service.services;
  for (let i = 0; i < 3; i++) await login('192.0.2.77', { password: 'a guess' });
  await blocks.tell();
  const events = () => rowsOf(database, 'audit_events', `details->>'address' = '192.0.2.77' ORDER BY id`);
  const began = { event: 'address.blocked', ip: '192.0.2.77', user_id: null, details: { seconds: 300 } };
  t.match(await events(), [began]);
  service.clock.advance(299);
  await blocks.tell();
  t.equal((await events()).length, 1);
  service.clock.advance(1);
  await blocks.tell();
  t.match(await events(), [began, { event: 'address.unblocked', actor: 'service', ip: null }]);
  t.match(await service.metrics.text(), 'keyturn_limit_blocks_total{subject="address"} 1');
});
