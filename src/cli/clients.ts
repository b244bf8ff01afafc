import { Command, Option } from 'commander';
import { systemClock } from '../adapters/system/clock.js';
import { systemRandom } from '../adapters/system/random.js';
import { createClients } from '../domain/clients.js';
import type { Client } from '../domain/types.js';
import { withDatabase } from './with-database.js';

interface CreateOptions {
  clientId: string;
  name?: string;
  type: Client['type'];
  audience: string[];
  scope?: string[];
  requiredRole?: string[];
  json?: true;
}

const collect = (value: string, list: string[] = []) => [...list, value];

const example = `
Example:
  keyturn clients create --client-id billing --type confidential --audience api --scope invoices:read`;

export const clientsCommand = (): Command => {
  const clients = new Command('clients').description(
    'Applications: who may ask for tokens, and what these are good for',
  );
  clients
    .command('create')
    .description('Make a client; the secret of a confidential one is printed once')
    .requiredOption('--client-id <id>', '1 to 128 visible ASCII characters')
    .option('--name <name>', 'for people; default: the client id')
    .addOption(new Option('--type <type>').choices(['public', 'confidential']).default('public'))
    .requiredOption('--audience <audience>', 'what its tokens are for; repeat for several', collect)
    .option('--scope <scope>', 'what it may ask for; repeat for several', collect)
    .option('--required-role <role>', 'only users with this role get its tokens; repeat for several', collect)
    .option('--json', 'print one JSON document')
    .addHelpText('after', example)
    .action((options: CreateOptions, command: Command) => {
      const { clientId, type, audience: audiences, scope: scopes = [], requiredRole: requiredRoles = [] } = options;
      const visible = /^[\x21-\x7e]{1,128}$/;
      if (!visible.test(clientId)) command.error('error: --client-id must be 1 to 128 visible ASCII characters');
      for (const value of [...audiences, ...scopes, ...requiredRoles]) {
        if (!visible.test(value))
          command.error('error: audiences, scopes and roles are 1 to 128 visible ASCII characters');
      }
      return withDatabase(async ({ database }) => {
        const { createClientStore } = await import('../adapters/postgres/client-store.js');
        const { create } = createClients(createClientStore(database), systemClock, systemRandom);
        const name = options.name ?? clientId;
        const { client, secret } = await create({
          clientId,
          name,
          type,
          audiences,
          scopes,
          requiredRoles,
        });
        if (options.json) {
          console.log(
            JSON.stringify({ client_id: client.clientId, type, ...(secret === null ? {} : { client_secret: secret }) }),
          );
        } else {
          console.log(`client_id      ${client.clientId}`);
          if (secret !== null) console.log(`client_secret  ${secret}\nThe secret is not shown again.`);
        }
      });
    });
  return clients;
};
