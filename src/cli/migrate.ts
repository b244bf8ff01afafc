import { Command } from 'commander';
import { withDatabase } from './with-database.js';

export const migrateCommand = (): Command =>
  new Command('migrate')
    .description('Bring the database up to date; `serve` does so too')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  DATABASE_URL_FILE=/run/secrets/database_url keyturn migrate')
    .action(({ json }: { json?: true }) =>
      withDatabase(async ({ migrated }) => {
        if (json) console.log(JSON.stringify({ applied: migrated }));
        else
          console.log(migrated.length === 0 ? 'nothing to do' : migrated.map((name) => `applied ${name}`).join('\n'));
      }),
    );
