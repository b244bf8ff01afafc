/** keyturn revoke: on the routes of a service, in the test's own process. */
import { decodeJwt } from 'jose';
import t from 'tap';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { isBearerRefusal } from '../support/answers.js';
import { commandsOn } from '../support/command-line.js';
import { rowOf, rowsOf, startService } from '../support/service.js';

const service = await startService(t);
const app = await buildLocalApp(service.services, createLogger('silent'));
t.teardown(() => app.close());
const { keyturn, json } = commandsOn(app);
const { clock, database, get, login } = service;
const userId = await service.register();
const rules = async () => (await rowsOf(database, 'revocations')).length;

t.test('a token is named by its jti or as it is, in an argument or on stdin, and not shown again', async (t) => {
  const tokens = [await login(), await login(), await login()].map(({ access_token }) => access_token);
  const [one = '', two = '', three = ''] = tokens;
  const { jti = '' } = decodeJwt(one);
  t.same(await json(['revoke', 'token', jti]), { revoked: { kind: 'jti', value: jti } });
  t.same(await json(['revoke', 'token', two]), { revoked: { kind: 'jti' } });
  t.match(await keyturn(['revoke', 'token', '-'], { input: `${three}\n` }), {
    code: 0,
    stdout: 'revoked  the token\n',
  });
  for (const token of tokens) isBearerRefusal(t, await get('/v1/me', token), 'token_revoked');
  const bad = await keyturn(['revoke', 'token', 'a.b.c']);
  t.match(bad, { code: 1, stdout: '', stderr: /^keyturn: token_rejected: .*malformed.*\n$/ });
});

t.test('a session is named by its id, a user by e-mail or id', async (t) => {
  const [one, two, three] = [await login(), await login(), await login()];
  t.same(await json(['revoke', 'session', one.session_id]), { revoked: { kind: 'sid', value: one.session_id } });
  isBearerRefusal(t, await get('/v1/me', one.access_token), 'token_revoked');
  t.equal((await get('/v1/me', two.access_token)).statusCode, 200);
  t.same(await json(['revoke', 'user', 'ADA@example.com']), { revoked: { kind: 'sub', value: userId } });
  for (const { access_token } of [two, three]) isBearerRefusal(t, await get('/v1/me', access_token), 'token_revoked');
  clock.advance(1);
  const { access_token: later } = await login();
  t.match(await keyturn(['revoke', 'user', userId]), { code: 0, stdout: `revoked  user ${userId}\n` });
  isBearerRefusal(t, await get('/v1/me', later), 'token_revoked');
  const event = await rowOf(database, 'audit_events', `event = 'revocation.created' ORDER BY id DESC LIMIT 1`);
  t.match(event, { actor: /^cli:./, user_id: userId });

  t.match(await keyturn(['revoke', 'session', 'x']), { code: 2, stdout: '', stderr: /^error: .*the id of a session/ });
  t.match(await keyturn(['revoke', 'user', 'nobody@example.com']), { code: 1, stderr: /not_found: .*nobody/ });
  t.match(await keyturn(['revoke', 'user', 'ada']), { code: 2, stderr: /^error: .*e-mail or id/ });
});

t.test('a client and everything are asked for, or said with --yes, or not done', async (t) => {
  clock.advance(1);
  const { access_token: token } = await login();
  const before = await rules();
  for (const command of [
    ['revoke', 'client', 'default'],
    ['revoke', 'all'],
  ]) {
    t.match(await keyturn(command), { code: 2, stdout: '', stderr: /^error: .*--yes\n$/ });
    const refused = await keyturn(command, { answers: ['n'] });
    t.match(refused, { code: 1, stderr: 'keyturn: nothing was done\n', asked: [/\[y\/N\] $/] });
  }
  t.equal(await rules(), before);
  t.equal((await get('/v1/me', token)).statusCode, 200);
  t.match(await keyturn(['revoke', 'client', 'default'], { answers: ['y'] }), { stdout: 'revoked  client default\n' });
  isBearerRefusal(t, await get('/v1/me', token), 'token_revoked');
  const typo = await keyturn(['revoke', 'client', 'defautl'], { answers: ['n'] });
  t.match(typo, { code: 1, asked: [/^There is no client defautl now\./] });
  t.match(await keyturn(['revoke', 'client', 'gone', '--yes']), { code: 0, stderr: /no client gone now/ });
  clock.advance(1);
  const { access_token: next } = await login();
  t.same(await json(['revoke', 'all', '--yes']), { revoked: { kind: 'all' } });
  isBearerRefusal(t, await get('/v1/me', next), 'token_revoked');
});
