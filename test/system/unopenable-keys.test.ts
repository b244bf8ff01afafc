/** A service whose key-encryption key is not what it was: it says so in one line, and puts nothing in its place. */
import { randomBytes } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { fastStorage } from '../support/databases.js';
import { eventually, launch, launchReady, runToEnd, type ServiceProcess, temporaryFolder } from '../support/process.js';

const folder = temporaryFolder(t);
const env = { KEYS_DIR: join(folder, 'keys'), ...(await fastStorage(t)) };
const kidsIn = async (service: ServiceProcess) => {
  const { keys } = (await service.get('/.well-known/jwks.json')).body as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid).sort();
};
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
/** A token of a key that nobody knows makes a node look at the keys, as it would by itself half a minute later. */
const unknown = `${encode({ alg: 'RS256', kid: 'unknown', typ: 'at+jwt' })}.${encode({})}.AA`;

const before = await launchReady(t, env);
const kids = await kidsIn(before);
await before.stop();
const file = join(env.KEYS_DIR, readdirSync(env.KEYS_DIR)[0] ?? '');
const kek = readFileSync(file);

t.test('the first start leaves a key that signs and one that is pending', async (t) => {
  t.equal(kids.length, 2);
});

t.test('a KEK that was cut short, or that others can read, is a refused start with one line', async (t) => {
  for (const [name, content, mode, said] of [
    ['cut short', kek.subarray(0, 20), 0o600, /^keyturn: .*\.kek does not hold .*\n$/],
    ['mode 0644', kek, 0o644, /^keyturn: .*\.kek has mode 0644.* chmod 600 .*\n$/],
  ] as const) {
    writeFileSync(file, content);
    chmodSync(file, mode);
    const { code, stderr, stdout } = await runToEnd(t, ['serve'], env);
    t.equal(code, 1, name);
    t.match(stderr, said, name);
    t.equal(stdout, '', name);
  }
  writeFileSync(file, kek);
  chmodSync(file, 0o600);
});

t.test('without its KEK a service verifies and does not sign, until the file is back', async (t) => {
  const aside = join(folder, 'aside');
  renameSync(file, aside);
  // Another one is there, and does not open what it did not seal.
  t.equal((await runToEnd(t, ['keys', 'new-kek'], env)).code, 0);
  const service = await launch(t, env);
  await eventually(
    async () => (await service.get('/readyz')).status === 503,
    () => service.output.stderr,
  );
  const { missing, signing_keys: closed } = (await service.get('/readyz')).body as Record<string, { kid: string }[]>;
  t.same(missing, ['signing_key']);
  t.same(closed?.map(({ kid }) => kid).sort(), kids);
  t.match(closed, [{ kek: /^\d{8}T\d{6}Z$/, problem: 'kek_missing' }, {}]);
  t.same(await kidsIn(service), kids, 'what was published is, and nothing else');
  const lines = service.output.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  const errors = lines.filter(({ problem }) => problem !== undefined);
  t.same(errors.map(({ kid }) => kid).sort(), kids, 'one line for each');
  for (const { problem, kekId, msg } of errors)
    t.match({ problem, kekId, msg }, { problem: 'kek_missing', kekId: /^\d{8}T\d{6}Z$/, msg: /put the file back/ });
  for (const verb of ['rewrap', 'rotate'])
    t.match(
      await runToEnd(t, ['keys', verb], env),
      { code: 1, stdout: '', stderr: /^keyturn: key_unusable: The key \S+ cannot be opened [^\n]*\n$/ },
      verb,
    );
  t.same(await kidsIn(service), kids, 'nor does anybody put another one there');

  renameSync(aside, file);
  t.equal((await service.get('/v1/me', unknown)).body.code, 'unknown_key');
  await service.ready();
  t.same(await kidsIn(service), kids);
  t.equal((await service.stop()).code, 0);
});

t.test('with another KEK of the same name a service verifies and does not sign, and says why', async (t) => {
  const id = basename(file, '.kek');
  writeFileSync(file, `${randomBytes(32).toString('base64url')}\n`);
  const service = await launch(t, env);
  await eventually(
    async () => (await service.get('/readyz')).status === 503,
    () => service.output.stderr,
  );
  t.match((await service.get('/readyz')).body, {
    missing: ['signing_key'],
    signing_keys: [
      { kek: id, problem: 'seal_broken' },
      { kek: id, problem: 'seal_broken' },
    ],
  });
  t.match(service.output.stdout, /"problem":"seal_broken".*the KEK of that name is another one/);
  t.same(await kidsIn(service), kids, 'no other key is made');
  t.equal((await service.stop()).code, 0);
  writeFileSync(file, kek);
});
