import { Command } from 'commander';
import { Refusal } from '../domain/errors.js';
import type { RevocationOrder } from '../http/admin/revocation-routes.js';
import type { Call } from './administration.js';
import type { Context } from './context.js';
import { confirm, type Shared, show, withJson, withYes } from './options.js';
import { userIdOf } from './users.js';

const isKnown = (call: Call, clientId: string): Promise<boolean> =>
  call('GET', `/v1/admin/clients/${encodeURIComponent(clientId)}`).then(
    () => true,
    (error) => {
      if (error instanceof Refusal && error.code === 'not_found') return false;
      throw error;
    },
  );

export const revokeCommand = (context: Context): Command => {
  const revoke = new Command('revoke').description('What is stolen or has leaked: returns when no node accepts it');
  const { administration, terminal } = context;

  async function carryOut(call: Call, order: RevocationOrder, options: Shared, what: string): Promise<void> {
    await call('POST', '/v1/admin/revocations', order);
    // Who shows a token to the service need not see it again on the screen.
    const { kind, value } = order;
    const revoked = kind === 'jti' && value?.includes('.') ? { kind } : order;
    show(context, options, { revoked }, () => `revoked  ${what}`);
  }

  withJson(revoke.command('token <token>'))
    .description('One access token, by its jti or as it is; - reads it from stdin. Its session goes on')
    .addHelpText(
      'after',
      '\nExample:\n  keyturn revoke token 3lPUxpS1rhaXUBhVGGzi4w\n  keyturn revoke token - < leaked-token',
    )
    .action((given: string, options: Shared) =>
      administration(async (call) => {
        const value = given === '-' ? (await terminal.readInput()).trim() : given;
        await carryOut(call, { kind: 'jti', value }, options, 'the token');
      }),
    );

  withJson(revoke.command('session <id>'))
    .description('One session: one login on one device')
    .addHelpText('after', '\nExample:\n  keyturn revoke session 019b2f60-4a1e-7c3b-9d50-6f2a1c0e8b77')
    .action((value: string, options: Shared) =>
      administration((call) => carryOut(call, { kind: 'sid', value }, options, `session ${value}`)),
    );

  withJson(revoke.command('user <user>'))
    .description('Everything that a user has until now: all sessions, all tokens. He may log in again')
    .addHelpText('after', '\nExample:\n  keyturn revoke user ada@example.com')
    .action((name: string, options: Shared) =>
      administration(async (call) => {
        const value = await userIdOf(call, name);
        await carryOut(call, { kind: 'sub', value }, options, `user ${name}`);
      }),
    );

  withYes(withJson(revoke.command('client <client_id>')))
    .description('Everything that was issued to a client until now: all its sessions, all its tokens')
    .addHelpText('after', '\nExample:\n  keyturn revoke client billing --yes')
    .action((value: string, options: Shared) =>
      administration(async (call) => {
        const unknown = (await isKnown(call, value)) ? '' : `There is no client ${value} now. `;
        if (options.yes && unknown !== '') terminal.note(`${unknown}It is revoked all the same.`);
        await confirm(context, options, `${unknown}Revoke every session and token of the client ${value}?`);
        await carryOut(call, { kind: 'client', value }, options, `client ${value}`);
      }),
    );

  withYes(withJson(revoke.command('all')))
    .description('Everything that was issued until now: everybody has to log in again, administrators too')
    .addHelpText('after', '\nExample:\n  keyturn revoke all --yes')
    .action((options: Shared) =>
      administration(async (call) => {
        await confirm(context, options, 'Revoke every session and token of everybody?');
        await carryOut(call, { kind: 'all' }, options, 'everything');
      }),
    );

  return revoke;
};
