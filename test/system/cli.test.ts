/** The command line as people and scripts use it: help, exit codes, what is printed. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { embeddedFolder } from '../support/databases.js';
import { launchReady, runToEnd, temporaryFolder } from '../support/process.js';
import { noteSecret } from '../support/run-log.js';

/** The names in the section "Commands:" of a help text. */
function commandsIn(help: string): string[] {
  const [, section = ''] = /^Commands:\n((?: {2}.*\n?)+)/m.exec(help) ?? [];
  return [...section.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map((match) => String(match[1])).filter((n) => n !== 'help');
}

/** Every command that does something, by its words, with its help. */
async function allCommands(t: Test, words: string[] = []): Promise<{ words: string[]; help: string }[]> {
  const { code, stdout } = await runToEnd(t, [...words, '--help']);
  t.equal(code, 0, `${words.join(' ')} --help`);
  const names = commandsIn(stdout);
  if (names.length === 0) return [{ words, help: stdout }];
  const found = await Promise.all(names.map((name) => allCommands(t, [...words, name])));
  return found.flat();
}

t.test('the help of each command shows an example', async (t) => {
  const commands = await allCommands(t);
  t.ok(commands.length >= 5, 'commands were found');
  for (const { words, help } of commands) t.match(help, new RegExp(`Example:\n.*keyturn ${words.join(' ')}`));
});

t.test('wrong usage ends with 2 and says what is wrong on stderr alone', async (t) => {
  for (const args of [['frobnicate'], ['serve', '--frobnicate'], ['clients', 'create', '--client-id', 'billing']]) {
    const { code, stdout, stderr } = await runToEnd(t, args);
    t.equal(code, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, /^error: /);
  }
});

t.test('a new key-encryption key is a file of its owner alone, and replaces none', async (t) => {
  const KEYS_DIR = join(temporaryFolder(t), 'keys');
  const { code, stdout } = await runToEnd(t, ['keys', 'new-kek', '--json'], { KEYS_DIR, NODE_ENV: 'production' });
  t.equal(code, 0);
  const { path } = JSON.parse(stdout);
  t.same(
    readdirSync(KEYS_DIR).map((file) => join(KEYS_DIR, file)),
    [path],
  );
  t.equal(statSync(KEYS_DIR).mode & 0o777, 0o700);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.match(readFileSync(path, 'utf8'), /^[A-Za-z0-9_-]{43}\n$/);
  noteSecret(readFileSync(path, 'utf8').trim());
});

/** Whether any file below `folder` has this text in it. */
const isIn = (folder: string, text: string): boolean =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .some((entry) => readFileSync(join(entry.parentPath, entry.name)).includes(text));

t.test('a client that was made on the command line gets tokens', async (t) => {
  const env = { DATA_DIR: embeddedFolder(t), KEYS_DIR: join(temporaryFolder(t), 'keys') };
  const create = ['clients', 'create', '--client-id', 'billing', '--type', 'confidential', '--audience', 'api'];
  const made = await runToEnd(t, [...create, '--scope', 'invoices:read', '--json'], env);
  t.equal(made.code, 0);
  t.equal(made.stderr, '');
  const { client_id, client_secret } = JSON.parse(made.stdout);
  t.match(client_secret, /^kts_/);
  noteSecret(client_secret);
  t.notOk(isIn(env.DATA_DIR, client_secret), 'its secret is shown, and not kept');

  const again = await runToEnd(t, create, env);
  t.equal(again.code, 1);
  t.equal(again.stdout, '');
  t.match(again.stderr, /^keyturn: client_exists: .*billing.*\n$/, 'the same client a second time is refused');

  const service = await launchReady(t, env);
  const credentials = Buffer.from(`${client_id}:${client_secret}`).toString('base64');
  noteSecret(credentials);
  const response = await fetch(`${service.url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'invoices:read' }),
  });
  const body = (await response.json()) as Record<string, unknown>;
  noteSecret(body.access_token);
  t.equal(response.status, 200);
  t.match(body, { token_type: 'Bearer', expires_in: 900, scope: 'invoices:read' });

  const meanwhile = await runToEnd(t, ['migrate'], env);
  t.equal(meanwhile.code, 1);
  t.match(
    meanwhile.stderr,
    new RegExp(`in use by process ${service.pid}\\b`),
    'the folder of a running service is left',
  );
  await service.stop();

  const { code, stdout } = await runToEnd(t, ['migrate', '--json'], env);
  t.equal(code, 0);
  t.same(JSON.parse(stdout), { applied: [] });
});
