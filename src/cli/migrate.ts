import { Command } from 'commander';
import { readConfig } from '../config.js';
import type { Context } from './context.js';
import { type Shared, show, withJson } from './options.js';
import { withDatabase } from './with-database.js';

export const migrateCommand = (context: Context): Command =>
  withJson(new Command('migrate'))
    .description('Bring the database up to date; `serve` does so too')
    .addHelpText('after', '\nExample:\n  DATABASE_URL_FILE=/run/secrets/database_url keyturn migrate')
    .action((options: Shared) =>
      withDatabase(readConfig(undefined, 'command'), async ({ migrated }) =>
        show(context, options, { applied: migrated }, () =>
          migrated.length === 0 ? 'nothing to do' : migrated.map((name) => `applied ${name}`).join('\n'),
        ),
      ),
    );
