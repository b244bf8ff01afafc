import { Command, Option } from 'commander';
import { duration } from '../config-values.js';
import { policies } from '../domain/anomalies/policy.js';
import type { AdminClient, ClientList, CreatedClient, RotatedSecret } from '../http/admin/client-routes.js';
import type { Context } from './context.js';
import {
  card,
  collect,
  confirm,
  type Page,
  parsed,
  queryOf,
  type Shared,
  show,
  showPage,
  table,
  withJson,
  withPage,
  withYes,
} from './options.js';

const pathOf = (clientId: string) => `/v1/admin/clients/${encodeURIComponent(clientId)}`;

const asTable = (clients: readonly AdminClient[]) =>
  table(
    ['client_id', 'type', 'audiences', 'scopes', 'grants', 'required roles'],
    clients.map(({ client_id, type, audiences, scopes, grants, required_roles }) => [
      client_id,
      type,
      ...[audiences, scopes, grants, required_roles].map((list) => list.join(' ')),
    ]),
  );
const withSecret = (text: string, secret: string | undefined) =>
  secret === undefined ? text : `${text}\nclient_secret  ${secret}\nThe secret is not shown again.`;

/** The flags that `create` and `update` share, by the names that commander gives them. */
interface Settings {
  name?: string;
  audience?: string[];
  scope?: string[];
  grant?: string[];
  requiredRole?: string[];
  accessTokenTtl?: number;
  idleTtl?: number;
  absoluteTtl?: number;
  tokenDelivery?: string;
  renewAfter?: number;
  corsOrigin?: string[];
  anomalyPolicy?: string;
}

const withSettings = (command: Command): Command => {
  const seconds = parsed(duration);
  return command
    .option('--name <name>', 'for people')
    .option('--audience <audience>', 'what its tokens are for; repeat for several', collect)
    .option('--scope <scope>', 'what it may ask for; repeat for several', collect)
    .addOption(
      new Option('--grant <grant>', 'password, refresh_token or client_credentials; repeat for several').argParser(
        collect,
      ),
    )
    .option('--required-role <role>', 'only users with this role get its tokens; repeat for several', collect)
    .option(
      '--access-token-ttl <duration>',
      'how long an access token is good; 15m unless set; with header delivery it is the idle ttl',
      seconds,
    )
    .option(
      '--idle-ttl <duration>',
      'how long a session lives unused; 14d unless set, 30m with header delivery',
      seconds,
    )
    .option('--absolute-ttl <duration>', 'how long a session lives; 90d unless set', seconds)
    .addOption(
      new Option(
        '--token-delivery <delivery>',
        'header: the access token comes in a response header, and is renewed there; no refresh token',
      ).choices(['body', 'header']),
    )
    .option(
      '--renew-after <duration>',
      'with header delivery: how old a token gets before it is renewed; 60s unless set',
      seconds,
    )
    .option('--cors-origin <origin>', 'origin of its pages; repeat for several', collect)
    .addOption(
      new Option(
        '--anomaly-policy <policy>',
        'the most that is done by itself about a session that looks stolen; flag unless set',
      ).choices(policies),
    );
};

/** As the API has them. What was not said is not sent, since JSON leaves out what is undefined. */
const bodyOf = (settings: Settings) => ({
  name: settings.name,
  audiences: settings.audience,
  scopes: settings.scope,
  grants: settings.grant,
  required_roles: settings.requiredRole,
  access_token_ttl: settings.accessTokenTtl,
  idle_ttl: settings.idleTtl,
  absolute_ttl: settings.absoluteTtl,
  token_delivery: settings.tokenDelivery,
  renew_after: settings.renewAfter,
  cors_origins: settings.corsOrigin,
  anomaly_policy: settings.anomalyPolicy,
});

export const clientsCommand = (context: Context): Command => {
  const clients = new Command('clients').description(
    'Applications: who may ask for tokens, and what these are good for',
  );
  const { administration } = context;

  withPage(withJson(clients.command('list')))
    .description('The clients')
    .addHelpText('after', '\nExample:\n  keyturn clients list --json')
    .action(({ limit, cursor, ...options }: Page) =>
      administration(async (call) => {
        const list = await call<ClientList>('GET', `/v1/admin/clients${queryOf({ limit, cursor })}`);
        showPage(context, options, list, ({ clients }) => asTable(clients));
      }),
    );

  withJson(
    withSettings(clients.command('create').requiredOption('--client-id <id>', '1 to 128 visible ASCII characters')),
  )
    .description('Make a client; the secret of a confidential one is printed once')
    .addOption(new Option('--type <type>').choices(['public', 'confidential']).default('public'))
    .addHelpText(
      'after',
      '\nExample:\n  keyturn clients create --client-id billing --type confidential --audience api --scope invoices:read',
    )
    .action((options: Settings & Shared & { clientId: string; type: string }, command: Command) => {
      if (options.audience === undefined) command.error("error: required option '--audience <audience>' not specified");
      return administration(async (call) => {
        const fields = { client_id: options.clientId, type: options.type, ...bodyOf(options) };
        const client = await call<CreatedClient>('POST', '/v1/admin/clients', fields);
        const { client_secret, ...rest } = client;
        show(context, options, client, () => withSecret(card(rest), client_secret));
      });
    });

  withJson(withSettings(clients.command('update <client_id>')))
    .description('Change what is named; a list is replaced, and an empty entry empties it')
    .addHelpText('after', '\nExample:\n  keyturn clients update billing --scope invoices:read --access-token-ttl 5m')
    .action((clientId: string, options: Settings & Shared) =>
      administration(async (call) => {
        const client = await call<AdminClient>('PATCH', pathOf(clientId), bodyOf(options));
        show(context, options, client, () => card(client));
      }),
    );

  withYes(withJson(clients.command('rotate-secret <client_id>')))
    .description('Give a confidential client another secret, printed once; the one before is good no more')
    .addHelpText('after', '\nExample:\n  keyturn clients rotate-secret billing --yes')
    .action((clientId: string, options: Shared) =>
      administration(async (call) => {
        await call<AdminClient>('GET', pathOf(clientId));
        await confirm(context, options, `Make the secret of ${clientId} invalid?`);
        const rotated = await call<RotatedSecret>('POST', `${pathOf(clientId)}/secret`);
        show(context, options, rotated, () => withSecret(`client_id      ${clientId}`, rotated.client_secret));
      }),
    );

  withYes(withJson(clients.command('delete <client_id>')))
    .description('Delete a client with all its sessions')
    .addHelpText('after', '\nExample:\n  keyturn clients delete billing --yes')
    .action((clientId: string, options: Shared) =>
      administration(async (call) => {
        await call<AdminClient>('GET', pathOf(clientId));
        await confirm(context, options, `Delete ${clientId} and end all its sessions?`);
        const deleted = await call<AdminClient>('DELETE', pathOf(clientId));
        show(context, options, { deleted }, () => `deleted ${deleted.client_id}`);
      }),
    );

  return clients;
};
