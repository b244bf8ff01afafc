import { Command } from 'commander';
import type { Context } from './context.js';
import { type Shared, show, table, withJson } from './options.js';

export const doctorCommand = (context: Context): Command =>
  withJson(new Command('doctor'))
    .description('Look for what is wrong: configuration, keys, database, Redis, clocks; changes nothing')
    .addHelpText('after', '\nExample:\n  keyturn doctor')
    .action(async (options: Shared) => {
      // Loaded here, so that help need not wait for it.
      const { diagnose } = await import('./checks.js');
      const checks = await diagnose();
      show(context, options, { checks }, () =>
        table(
          ['', 'check', 'found', 'what to do'],
          checks.map(({ check, status, detail, mend }) => [status, check, detail, mend ?? '']),
        ),
      );
      const failed = checks.filter(({ status }) => status === 'fail').map(({ check }) => check);
      if (failed.length > 0) throw new Error(`something is wrong: ${[...new Set(failed)].join(', ')}`);
    });
