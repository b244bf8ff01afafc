/** The service with its signing keys in SoftHSM, as a process, on embedded storage. */
import { join } from 'node:path';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import t from 'tap';
import { embeddedFolder } from '../support/databases.js';
import { eventually, launch, launchReady, runToEnd, type ServiceProcess, temporaryFolder } from '../support/process.js';
import { softHsm, withoutSoftHsm } from '../support/softhsm.js';

const jwksOf = async (service: ServiceProcess) =>
  (await service.get('/.well-known/jwks.json')).body.keys as { kid: string }[];

/** As a service that was given the issuer and nothing else would. */
async function verify(service: ServiceProcess, issuer: string, token: string) {
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', service.url));
  return jwtVerify(token, keys, { issuer, algorithms: ['RS256', 'ES256'], typ: 'at+jwt' });
}

t.test('a service whose key is in a token', { skip: withoutSoftHsm }, async (t) => {
  const own = { DATA_DIR: embeddedFolder(t), KEYS_DIR: join(temporaryFolder(t), 'keys') };
  const device = softHsm().variables;
  const first = await launchReady(t, { ...own, ...device });
  await first.register();
  const tokens = await first.login();
  const keys = await jwksOf(first);
  t.match((await verify(first, first.url, tokens.access_token)).protectedHeader, { alg: 'RS256', kid: keys[0]?.kid });
  const refreshed = await first.refresh(tokens.refresh_token);
  t.equal(refreshed.status, 200);
  await verify(first, first.url, String(refreshed.body.access_token));
  t.match(await first.stop(), { code: 0, signal: null }, 'it stops in good order');

  await t.test('has the same key after a start, and signs with it', async (t) => {
    const second = await launchReady(t, { ...own, ...device, ISSUER: first.url });
    t.same(await jwksOf(second), keys);
    const again = await second.refresh(String(refreshed.body.refresh_token));
    t.equal(again.status, 200);
    await verify(second, first.url, String(again.body.access_token));
    await verify(second, first.url, tokens.access_token);
    await second.stop();
  });

  await t.test('that refuses the PIN is not ready to sign, says why, and verifies', async (t) => {
    const blind = await launch(t, {
      ...own,
      ...device,
      SIGNER: 'pkcs11',
      PKCS11_PIN: 'hunter2-bad',
      ISSUER: first.url,
    });
    await eventually(
      async () => (await blind.get('/livez')).status === 200,
      () => 'it does not come up',
    );
    const ready = (await blind.get('/readyz')).body as { missing: string[]; signing_keys: { kid: string }[] };
    t.match(ready, { code: 'not_ready', missing: ['signing_key'], signing_keys: [{ problem: 'not_usable' }, {}] });
    t.same(ready.signing_keys.map(({ kid }) => kid).sort(), keys.map(({ kid }) => kid).sort());
    t.same(await jwksOf(blind), keys, 'and no other key is made');
    t.match(blind.output.stdout, /"problem":"not_usable","error":"PKCS11_PIN: refused by the token/);
    t.notMatch(blind.output.stdout + blind.output.stderr, /hunter2/);
    const { status, body, headers } = await blind.refresh(tokens.refresh_token);
    t.match({ status, body }, { status: 503, body: { code: 'signing_key_unavailable' } });
    t.ok(headers.get('retry-after'));
    await blind.stop();
  });

  await t.test(
    'does not start for the first time where the token cannot be used, and names what is wrong',
    async (t) => {
      const refused = async (changed: Record<string, string>, message: RegExp) => {
        const fresh = { DATA_DIR: embeddedFolder(t), KEYS_DIR: join(temporaryFolder(t), 'keys') };
        const { code, stderr, stdout } = await runToEnd(t, ['serve'], {
          ...fresh,
          ...device,
          SIGNER: 'pkcs11',
          ...changed,
        });
        t.equal(code, 1);
        t.match(stderr, message);
        t.notMatch(stderr + stdout, /hunter2/);
      };
      await refused({ PKCS11_PIN: 'hunter2-wrong' }, /^keyturn: .*PKCS11_PIN: refused.*CKR_PIN_INCORRECT.*\n$/);
    },
  );
});
