/** `keyturn keys` in the test's own process: what the commands print, ask and refuse. */
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { nodeTokenSigner } from '../../src/adapters/node-crypto/token-signer.js';
import type { AdminKey } from '../../src/http/admin/key-routes.js';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import type { TokenSigner } from '../../src/ports/token-signer.js';
import { commandsOn } from '../support/command-line.js';
import { temporaryFolder } from '../support/process.js';
import { noteSecret } from '../support/run-log.js';
import { execute, rowsOf, startService } from '../support/service.js';

const SEEN_S = 600;
let makesKeys = true;
const signer: TokenSigner = {
  ...nodeTokenSigner,
  generate: (alg) => (makesKeys ? nodeTokenSigner.generate(alg) : Promise.reject(new Error('the device is away'))),
};
const service = await startService(t, { signer, env: { SIGNING_ALG: 'EdDSA' } });
const app = await buildLocalApp(service.services, createLogger('silent'));
t.teardown(() => app.close());
const { keyturn, json } = commandsOn(app);
// The list is by age: no other key is as old as the first.
service.clock.advance(1);

const listed = async (state: AdminKey['state']): Promise<AdminKey[]> =>
  (await json(['keys', 'list'])).keys.filter((key: AdminKey) => key.state === state);
const kidIn = async (state: AdminKey['state']) => (await listed(state))[0]?.kid ?? '';

t.test('a rotation that has to wait is no failure, and says when it happens', async (t) => {
  const asked = await keyturn(['keys', 'rotate']);
  const at = new Date(service.clock.now() + SEEN_S * 1000).toISOString();
  t.match(asked, { code: 0, stderr: '' });
  const [first, , before, , , , after, , ...rows] = asked.stdout.split('\n');
  t.equal(first, `scheduled: it happens by itself, ${at}`);
  t.same([before, after], ['Before:', 'After:']);
  t.match(rows, [new RegExp(` active .* retiring at ${at}$`), new RegExp(` pending .* active at ${at}$`), '']);
  t.match(await keyturn(['keys', 'rotate']), { code: 0, stdout: /^already so, nothing was changed, / });
  const events = await rowsOf(service.database, 'audit_events', `event = 'signing_key.rotation_scheduled'`);
  t.match(events, [{ actor: /^cli:./, ip: null }]);
  service.clock.advance(SEEN_S);
  t.match(await json(['keys', 'rotate']), { outcome: 'done', before: [{}, {}], after: [{}, {}, {}] });
});

t.test('whoever changes a key is told when the other processes could not be', async (t) => {
  const away = await startService(t, { env: { SIGNING_ALG: 'EdDSA' } });
  const local = await buildLocalApp(away.services, createLogger('silent'));
  t.teardown(() => local.close());
  const { rotate } = away.services.administration.keys;
  away.services.administration.keys.rotate = async (by) => ({ ...(await rotate(by)), announced: false });
  t.match(await commandsOn(local).keyturn(['keys', 'rotate']), { code: 0, stderr: /within 30 seconds\n$/ });
});

t.test('a key is promoted by its kid, also one that begins with a dash', async (t) => {
  service.clock.advance(SEEN_S);
  const kid = await kidIn('pending');
  t.match(await keyturn(['keys', 'promote', kid]), { code: 0, stdout: /^done, / });
  t.equal(await kidIn('active'), kid);
  for (const verb of ['promote', 'revoke'])
    for (const unknown of [`-${'h'.repeat(42)}`, `--${'a'.repeat(41)}`])
      t.match(await keyturn(['keys', verb, unknown, ...(verb === 'revoke' ? ['--yes'] : [])]), {
        code: 1,
        stdout: '',
        stderr: /^keyturn: key_not_found: [^\n]*\n$/,
      });
  for (const wrong of [['short'], ['--compromized'], [], [kid, '--frobnicate']])
    t.match(await keyturn(['keys', 'revoke', ...wrong]), { code: 2, stdout: '', stderr: /^error: / }, wrong.join(' '));
});

t.test('a key is revoked only by somebody who knows what that costs', async (t) => {
  const kid = await kidIn('active');
  const revoke = ['keys', 'revoke', kid, '--compromised'];
  t.match(await keyturn(revoke), { code: 2, stdout: '', stderr: /--yes\n$/ });
  const refused = await keyturn(revoke, { answers: ['n'] });
  t.match(refused, { code: 1, stdout: '', stderr: 'keyturn: nothing was done\n' });
  t.match(refused.asked, [new RegExp(`${kid} is active\\.\n.*at once, with unknown_key.*5 minutes`)]);
  t.equal(await kidIn('active'), kid);
  const plain = await keyturn(['keys', 'revoke', kid, '--yes']);
  t.match(plain, { code: 1, stdout: '', stderr: /^keyturn: key_state_conflict: [^\n]*\n$/ });
  t.match(await keyturn(revoke, { answers: ['y'] }), {
    code: 0,
    stdout: new RegExp(`^done, .*${kid} +EdDSA +revoked`, 's'),
  });
  t.not(await kidIn('active'), kid);
  t.match(await rowsOf(service.database, 'audit_events', `event = 'signing_key.revoked'`), [
    { actor: /^cli:./, details: { kid, compromised: true } },
  ]);
});

t.test('a private key is taken from a file, and shown to nobody', async (t) => {
  const file = join(temporaryFolder(t), 'signing.pem');
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  noteSecret(pem);
  writeFileSync(file, pem, { mode: 0o600 });
  t.match(await keyturn(['keys', 'import', file]), { code: 1, stdout: '', stderr: /^keyturn: key_rejected: EdDSA/ });
  const imported = await keyturn(['keys', 'import', file, '--alg', 'ES256']);
  t.match(imported, { code: 0, stdout: /^kid {2}([\w-]{43})\ndone, .*\1 +ES256 +pending/s, stderr: /destroy it\n$/ });
  t.match(await json(['keys', 'import', file, '--alg', 'ES256']), { outcome: 'already' });
  t.match(await keyturn(['keys', 'import', `${file}.not`]), {
    code: 1,
    stdout: '',
    stderr: /^keyturn: ENOENT[^\n]*\n$/,
  });
  t.match(await keyturn(['keys', 'import', file, '--alg', 'HS256']), { code: 2, stdout: '', stderr: /^error: / });
});

t.test('what is sealed under the newest key-encryption key already is left alone', async (t) => {
  t.match(await json(['keys', 'rewrap']), { outcome: 'already' });
});

t.test('a leaked key is revoked though none can take its place, and the command says what that means', async (t) => {
  makesKeys = false;
  await execute(service.database, `DELETE FROM signing_keys WHERE state = 'pending'`);
  const { code, stdout, stderr } = await keyturn(['keys', 'revoke', await kidIn('active'), '--compromised', '--yes']);
  t.match({ code, stdout, stderr }, { code: 0, stdout: /^done, /, stderr: /No key signs now: .* 503 .*\n$/ });
  t.same(await listed('active'), []);
  makesKeys = true;
  await service.services.signingKeys.tend();
  t.equal((await listed('active')).length, 1);
});

t.test('who makes several key-encryption keys in one second gets each, and the last is the newest', async (t) => {
  const folder = join(temporaryFolder(t), 'keys');
  process.env.KEYS_DIR = folder;
  t.teardown(() => {
    delete process.env.KEYS_DIR;
  });
  const made: string[] = [];
  // Of three two are made in one second, whenever it is.
  for (let n = 0; n < 3; n++) made.push((await json(['keys', 'new-kek'])).path);
  t.same(
    readdirSync(folder)
      .sort()
      .map((file) => join(folder, file)),
    made,
  );
});
