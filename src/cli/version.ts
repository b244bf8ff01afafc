import { Command } from 'commander';
import type { Context } from './context.js';
import { type Shared, show, withJson } from './options.js';

export const versionCommand = (context: Context, version: string): Command =>
  withJson(new Command('version'))
    .description('Print the version')
    .addHelpText('after', '\nExample:\n  keyturn version')
    .action((options: Shared) => show(context, options, { version }, () => version));
