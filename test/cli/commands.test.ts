/** The commands in the test's own process, on the service's routes: what they print, ask and refuse. */
import t, { type Test } from 'tap';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { commandsOn } from '../support/command-line.js';
import { PASSWORD, rowsOf, startService } from '../support/service.js';

const service = await startService(t);
const app = await buildLocalApp(service.services, createLogger('silent'));
t.teardown(() => app.close());

const { keyturn, json } = commandsOn(app);
const NOWHERE = { ip: null, place: null, userAgent: null, requestId: null };

const eventsOf = (event: string, userId: string) =>
  rowsOf(service.database, 'audit_events', `event = '${event}' AND user_id = '${userId}'`);

/** The names in the section "Commands:" of a help text. */
function commandsIn(help: string): string[] {
  const [, section = ''] = /^Commands:\n((?: {2}.*\n?)+)/m.exec(help) ?? [];
  return [...section.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map((match) => String(match[1])).filter((n) => n !== 'help');
}

/** Every command that does something, by its words, with its help. */
async function allCommands(t: Test, words: string[] = []): Promise<{ words: string[]; help: string }[]> {
  const { code, stdout } = await keyturn([...words, '--help']);
  t.equal(code, 0, `${words.join(' ')} --help`);
  const names = commandsIn(stdout);
  if (names.length === 0) return [{ words, help: stdout }];
  const found = await Promise.all(names.map((name) => allCommands(t, [...words, name])));
  return found.flat();
}

t.test('the help of each command shows an example, and each but serve prints JSON if asked', async (t) => {
  const commands = await allCommands(t);
  t.ok(commands.length >= 24, 'commands were found');
  for (const { words, help } of commands) {
    t.match(help, new RegExp(`Example:\n.*keyturn ${words.join(' ')}`));
    if (words[0] !== 'serve') t.match(help, /--json/, words.join(' '));
  }
});

t.test('wrong usage ends with 2 and says what is wrong on stderr alone', async (t) => {
  const create = ['clients', 'create', '--client-id', 'billing'];
  for (const args of [['frobnicate'], ['serve', '--frobnicate'], create, ['users', 'create'], ['users', 'delete']])
    t.match(await keyturn(args), { code: 2, stdout: '', stderr: /^error: / }, args.join(' '));
});

t.test('a flag with a value that it cannot have says which it takes', async (t) => {
  const takes: Record<string, string> = {
    'users list --limit 0': 'a whole number from 1 to 100',
    'audit search --event logins': 'an event such as login.failed',
  };
  for (const [command, expected] of Object.entries(takes))
    t.match(await keyturn(command.split(' ')), { code: 2, stdout: '', stderr: new RegExp(expected) }, command);
});

t.test('the first administrator is made here, and logs in', async (t) => {
  const create = ['users', 'create', '--email', 'root@example.com', '--role', 'admin', '--role', 'support'];
  const user = await json([...create, '--password-stdin'], { input: `${PASSWORD}\n` });
  t.match(user, { email: 'root@example.com', roles: ['admin', 'support'] });
  t.notOk('password' in user);
  t.match(await eventsOf('user.created', user.id), [{ actor: /^cli:./, ip: null }]);
  const { access_token: token } = await service.login('root@example.com', { client_id: 'keyturn-admin' });
  t.same((await service.get('/v1/admin/users', token)).json(), await json(['users', 'list']), 'one answer for both');
});

t.test(
  'a password is made and shown once, read from stdin, or asked for, and never taken from an argument',
  async (t) => {
    const made = await keyturn(['users', 'create', '--email', 'made@example.com']);
    const password = /^password {2}(\S+)$/m.exec(made.stdout)?.[1];
    await service.login('made@example.com', { password });

    const create = ['users', 'create', '--email', 'asked@example.com'];
    const typo = await keyturn(create, { answers: [PASSWORD, `${PASSWORD}x`] });
    t.match(typo, { code: 1, stdout: '', stderr: /^keyturn: .*not the same/ });
    const asked = await keyturn(create, { answers: [PASSWORD, PASSWORD] });
    t.equal(asked.asked.length, 2);
    t.notMatch(asked.stdout, /password/, 'what somebody has typed is not shown');
    await service.login('asked@example.com');

    const set = ['users', 'set-password', 'asked@example.com'];
    t.match(await json([...set, '--password-stdin'], { input: 'another long pass phrase\r\n' }), { ended_sessions: 1 });
    await service.login('asked@example.com', { password: 'another long pass phrase' });
    t.match(await json(set), { ended_sessions: 1, password: /^[\w-]{24}$/ });
    t.equal((await keyturn([...set, '--password', PASSWORD])).code, 2);
  },
);

t.test('a user is named by e-mail or id, and every verb does what it says', async (t) => {
  const { id } = await json(['users', 'create', '--email', 'Verb@example.com', '--password-stdin'], {
    input: PASSWORD,
  });
  await service.login('verb@example.com');
  t.same(await json(['users', 'revoke-sessions', id]), { ended_sessions: 1 });
  t.match(await json(['users', 'disable', 'VERB@example.com']), { id, disabled_at: /^2/ });
  t.match(await json(['users', 'enable', id]), { id, disabled_at: null });
  t.match(await json(['users', 'set-roles', id, '--role', 'a', '--role', 'b']), { roles: ['a', 'b'] });
  t.match(await json(['users', 'set-roles', id, '--role', '']), { roles: [] });
  t.match(await json(['users', 'list', '--email', 'verb@example.com']), { users: [{ id }], next_cursor: null });
  t.match(await keyturn(['users', 'list', '--email', 'verb@example.com']), {
    stdout: /^id .*\n\S+ +Verb@example.com +active/,
  });
  for (const event of ['sessions.ended', 'user.disabled', 'user.enabled'])
    t.match(await eventsOf(event, id), [{ actor: /^cli:./ }], event);
  t.match(await json(['users', 'delete', id, '--yes']), { deleted: { id } });
  t.match(await keyturn(['users', 'enable', id]), { code: 1, stdout: '', stderr: /^keyturn: not_found: [^\n]*\n$/ });
  t.match(await keyturn(['users', 'enable', 'verb@example.com']), { code: 1, stderr: /not_found: .*verb@example.com/ });
  t.match(await keyturn(['users', 'enable', 'verb']), { code: 2, stderr: /^error: .*e-mail or id/ });
});

t.test('a list says how to go on', async (t) => {
  const first = await keyturn(['users', 'list', '--limit', '1']);
  const [, cursor = ''] = /--cursor (\S+)/.exec(first.stderr) ?? [];
  const second = await json(['users', 'list', '--limit', '1', '--cursor', cursor]);
  const { users } = await json(['users', 'list']);
  t.same(second.users, [users[1]]);
});

t.test('a client has every setting that there is a flag for', async (t) => {
  const flags = [
    ...[
      '--name',
      'Billing',
      '--audience',
      'api',
      '--audience',
      'ledger',
      '--scope',
      'read',
      '--grant',
      'client_credentials',
    ],
    ...['--required-role', 'staff', '--access-token-ttl', '1d', '--idle-ttl', '1d', '--absolute-ttl', '2d'],
    ...['--token-delivery', 'header', '--renew-after', '30', '--cors-origin', 'https://app.example.com'],
  ];
  const expected = {
    name: 'Billing',
    audiences: ['api', 'ledger'],
    scopes: ['read'],
    grants: ['client_credentials'],
    required_roles: ['staff'],
    access_token_ttl: 86_400,
    idle_ttl: 86_400,
    absolute_ttl: 172_800,
    token_delivery: 'header',
    renew_after: 30,
    cors_origins: ['https://app.example.com'],
  };
  const made = await json(['clients', 'create', '--client-id', 'billing', '--type', 'confidential', ...flags]);
  t.match(made, { client_id: 'billing', type: 'confidential', client_secret: /^kts_/, ...expected });
  await json(['clients', 'create', '--client-id', 'plain', '--type', 'confidential', '--audience', 'x']);
  t.match(await json(['clients', 'update', 'plain', ...flags]), { client_id: 'plain', ...expected });
  t.match(await json(['clients', 'update', 'plain', '--scope', '']), { ...expected, scopes: [] });

  t.match(await keyturn(['clients', 'list']), {
    code: 0,
    stdout: /^client_id .*\nbilling +confidential +api ledger +read/,
  });
  t.match(await keyturn(['clients', 'create', '--client-id', 'plain', '--audience', 'x']), {
    code: 1,
    stdout: '',
    stderr: /^keyturn: client_exists: .*plain.*\n$/,
  });
  t.match(await keyturn(['clients', 'update', 'plain', '--idle-ttl', 'soon']), { code: 2, stderr: /^error: .*3650d/ });
  t.match(await keyturn(['clients', 'update', 'plain', '--idle-ttl', '3d']), { code: 2, stderr: /^error: idle_ttl/ });
  t.match(await keyturn(['clients', 'update', 'nobody', '--name', 'x']), { code: 1, stderr: /not_found/ });
});

t.test('what cannot be taken back is asked for, or said with --yes, or not done', async (t) => {
  const { id } = await json(['users', 'create', '--email', 'doomed@example.com']);
  const { client_secret } = await json([
    'clients',
    'create',
    '--client-id',
    'doomed',
    '--type',
    'confidential',
    '--audience',
    'x',
  ]);
  const stays = async () =>
    (await service.database.orm((prisma) => prisma.user.count({ where: { id } }))) === 1 &&
    (await service.services.clients.authenticate('doomed', client_secret, NOWHERE)).clientId === 'doomed';
  const destroying = [
    ['clients', 'rotate-secret', 'doomed'],
    ['clients', 'delete', 'doomed'],
    ['users', 'delete', 'doomed@example.com'],
  ];
  for (const command of destroying) {
    t.match(await keyturn(command), { code: 2, stdout: '', stderr: /^error: .*--yes\n$/ }, command.join(' '));
    for (const answer of ['', 'n', 'yess']) {
      const refused = await keyturn(command, { answers: [answer] });
      t.match(refused, { code: 1, stdout: '', stderr: 'keyturn: nothing was done\n', asked: [/doomed.*\[y\/N\] $/] });
    }
    t.ok(await stays(), 'nothing was done');
  }
  for (const command of destroying) t.equal((await keyturn(command, { answers: ['Y'] })).code, 0, command.join(' '));
  t.notOk(await stays().catch(() => false));
});
