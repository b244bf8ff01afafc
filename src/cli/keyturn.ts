#!/usr/bin/env node
/** The command `keyturn`. Exit codes: 0 done, 1 refused or failed with one clear line on stderr, 2 wrong usage. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.js';
import { Refusal } from '../domain/errors.js';
import { clientsCommand } from './clients.js';
import { keysCommand } from './keys.js';
import { migrateCommand } from './migrate.js';
import { serveCommand } from './serve.js';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

const program = new Command('keyturn')
  .description(
    'A standalone authentication service. Reads its configuration from the environment: docs/configuration.md.',
  )
  .version(version)
  .configureHelp({ showGlobalOptions: false });

for (const command of [serveCommand(), migrateCommand(), keysCommand(), clientsCommand()]) program.addCommand(command);
program.addCommand(
  new Command('version')
    .description('Print the version')
    .addHelpText('after', '\nExample:\n  keyturn version')
    .action(() => console.log(version)),
);

/** Commander hands its settings down only to the commands that it makes itself. */
function throwInsteadOfExit(command: Command): void {
  command.exitOverride();
  command.commands.forEach(throwInsteadOfExit);
}
throwInsteadOfExit(program);

/** One line for what an operator can mend; everything for what only a developer can. */
function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (error instanceof Refusal) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
    return `${error.code}: ${error.detail}${cause}`;
  }
  if (!(error instanceof Error)) return String(error);
  const ours = ['FolderInUse', 'KekProblem', 'Error'].includes(error.name);
  return ours ? error.message : (error.stack ?? error.message);
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`keyturn: ${explain(error)}\n`);
    process.exit(1);
  }
}
