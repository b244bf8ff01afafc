/** A service, as a process, whose HSM accepts connections and never answers. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { postgresUrl, withoutPostgres } from '../support/databases.js';
import { eventually, launch, launchReady, runToEnd, temporaryFolder } from '../support/process.js';

/** In the place of pkcs11js: it holds its thread as a library does that waits for a device. */
const binding = `exports.PKCS11 = class {
  load() {}
  C_Initialize() {}
  C_GetSlotList() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }
};`;

t.test('a service whose device hangs', { skip: withoutPostgres }, async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'pkcs11js'));
  writeFileSync(join(folder, 'pkcs11js', 'index.js'), binding);
  const own = { DATABASE_URL: await postgresUrl(t), KEYS_DIR: join(folder, 'keys'), SIGNING_ALG: 'EdDSA' };
  const hung = { NODE_PATH: folder, SIGNER: 'pkcs11', PKCS11_MODULE: '/x', PKCS11_TOKEN: 'x', PKCS11_PIN: 'hunter2' };
  const first = await launchReady(t, own);
  const kids = async (service = first) => {
    const { keys } = (await service.get('/.well-known/jwks.json')).body as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  };
  const [active = '', pending = ''] = await kids();
  await first.stop();

  const since = Date.now();
  const service = await launch(t, { ...own, ...hung });
  await service.ready();
  t.ok(Date.now() - since < 25_000, 'listens before anybody loses patience');
  t.same((await kids(service)).sort(), [active, pending].sort(), 'and signs with the key that is not in the device');
  await service.register();
  await service.login();

  await t.test('follows within 30 seconds, though nobody tells it and the device still hangs', async (t) => {
    const { code, stderr } = await runToEnd(t, ['keys', 'revoke', pending, '--yes'], own);
    t.equal(code, 0, stderr);
    const told = Date.now();
    await eventually(
      async () => !(await kids(service)).includes(pending),
      () => service.output.stdout,
    );
    t.ok(Date.now() - told < 35_000);
  });
});
