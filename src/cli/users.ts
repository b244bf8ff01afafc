import { Command } from 'commander';
import { Refusal } from '../domain/errors.js';
import type { AdminUser, CreatedUser, EndedSessions, PasswordSet, UserList } from '../http/admin/user-routes.js';
import type { Call } from './administration.js';
import { type Context, WrongUsage } from './context.js';
import {
  choosePassword,
  collect,
  confirm,
  type Page,
  queryOf,
  type Shared,
  show,
  showPage,
  table,
  withJson,
  withPage,
  withYes,
} from './options.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A user is named by e-mail or id. */
export async function userIdOf(call: Call, user: string): Promise<string> {
  if (UUID.test(user)) return user;
  if (!user.includes('@')) throw new WrongUsage('a user is named by e-mail or id');
  const { users } = await call<UserList>('GET', `/v1/admin/users?email=${encodeURIComponent(user)}`);
  const [found] = users;
  if (found === undefined) throw new Refusal('not_found', { detail: `There is no user ${user}` });
  return found.id;
}

const pathOf = async (call: Call, user: string): Promise<string> => `/v1/admin/users/${await userIdOf(call, user)}`;

const heads = ['id', 'e-mail', 'roles', 'state', 'created'];
const row = ({ id, email, roles, disabled_at, created_at }: AdminUser) => [
  id,
  email,
  roles.join(' '),
  disabled_at === null ? 'active' : `disabled ${disabled_at}`,
  created_at,
];
const asTable = (users: readonly AdminUser[]) => table(heads, users.map(row));
const withPassword = (text: string, password: string | undefined) =>
  password === undefined ? text : `${text}\npassword  ${password}\nThe password is not shown again.`;

interface PasswordOptions extends Shared {
  passwordStdin?: true;
}

export const usersCommand = (context: Context): Command => {
  const users = new Command('users').description('Accounts: who may log in, and with which roles');
  const { administration, terminal } = context;

  withPage(withJson(users.command('list')))
    .description('The accounts, the oldest first')
    .option('--email <email>', 'the one with this e-mail')
    .addHelpText('after', '\nExample:\n  keyturn users list --limit 20')
    .action(({ email, limit, cursor, ...options }: Page & { email?: string }) =>
      administration(async (call) => {
        const list = await call<UserList>('GET', `/v1/admin/users${queryOf({ email, limit, cursor })}`);
        showPage(context, options, list, ({ users }) => asTable(users));
      }),
    );

  withJson(users.command('create'))
    .description('Make an account; without a password one is made, and shown once')
    .requiredOption('--email <email>', 'compared without regard to case')
    .option('--role <role>', 'what the user is; repeat for several; admin is that of administrators', collect)
    .option('--password-stdin', 'read the password from stdin')
    .addHelpText('after', '\nExample:\n  keyturn users create --email ada@example.com --role admin')
    .action(async ({ email, role: roles = [], ...options }: PasswordOptions & { email: string; role?: string[] }) => {
      const password = await choosePassword(terminal, options);
      await administration(async (call) => {
        const fields = { email, roles, ...(password === undefined ? {} : { password }) };
        const user = await call<CreatedUser>('POST', '/v1/admin/users', fields);
        show(context, options, user, () => withPassword(asTable([user]), user.password));
      });
    });

  for (const [verb, description] of [
    ['disable', 'Disable an account: all its sessions end, and nobody logs in to it'],
    ['enable', 'Enable an account'],
  ] as const) {
    withJson(users.command(`${verb} <user>`))
      .description(description)
      .addHelpText('after', `\nExample:\n  keyturn users ${verb} ada@example.com`)
      .action((name: string, options: Shared) =>
        administration(async (call) => {
          const user = await call<AdminUser>('POST', `${await pathOf(call, name)}/${verb}`);
          show(context, options, user, () => asTable([user]));
        }),
      );
  }

  withJson(users.command('set-password <user>'))
    .description('Set the password, or have one made and shown once: all sessions end')
    .option('--password-stdin', 'read the password from stdin')
    .addHelpText('after', '\nExample:\n  keyturn users set-password ada@example.com --password-stdin < password.txt')
    .action(async (name: string, options: PasswordOptions) => {
      const password = await choosePassword(terminal, options);
      await administration(async (call) => {
        const body = password === undefined ? {} : { password };
        const set = await call<PasswordSet>('PUT', `${await pathOf(call, name)}/password`, body);
        show(context, options, set, () => withPassword(`sessions ended  ${set.ended_sessions}`, set.password));
      });
    });

  withJson(users.command('set-roles <user>'))
    .description('Give an account these roles and no others, from its next refresh on')
    .requiredOption('--role <role>', 'repeat for several; an empty one stands for none', collect)
    .addHelpText('after', '\nExample:\n  keyturn users set-roles ada@example.com --role admin --role support')
    .action((name: string, { role: roles, ...options }: Shared & { role: string[] }) =>
      administration(async (call) => {
        const user = await call<AdminUser>('PUT', `${await pathOf(call, name)}/roles`, { roles });
        show(context, options, user, () => asTable([user]));
      }),
    );

  withJson(users.command('revoke-sessions <user>'))
    .description('End all sessions: the user has to log in again on every device')
    .addHelpText('after', '\nExample:\n  keyturn users revoke-sessions ada@example.com')
    .action((name: string, options: Shared) =>
      administration(async (call) => {
        const ended = await call<EndedSessions>('DELETE', `${await pathOf(call, name)}/sessions`);
        show(context, options, ended, () => `sessions ended  ${ended.ended_sessions}`);
      }),
    );

  withYes(withJson(users.command('delete <user>')))
    .description('Delete an account with all its sessions; what was audited stays')
    .addHelpText('after', '\nExample:\n  keyturn users delete ada@example.com --yes')
    .action((name: string, options: Shared) =>
      administration(async (call) => {
        const path = await pathOf(call, name);
        const { email } = await call<AdminUser>('GET', path);
        await confirm(context, options, `Delete ${email} for good?`);
        const deleted = await call<AdminUser>('DELETE', path);
        show(context, options, { deleted }, () => `deleted ${deleted.email}`);
      }),
    );

  return users;
};
