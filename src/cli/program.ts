/** The command line as a whole: its commands, and what their ends mean. A new noun is a file here and an entry in the list. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.js';
import { Refusal } from '../domain/errors.js';
import { anomaliesCommand } from './anomalies.js';
import { auditCommand } from './audit.js';
import { clientsCommand } from './clients.js';
import { type Context, type Terminal, WrongUsage } from './context.js';
import { doctorCommand } from './doctor.js';
import { keysCommand } from './keys.js';
import { migrateCommand } from './migrate.js';
import { revokeCommand } from './revoke.js';
import { serveCommand } from './serve.js';
import { usersCommand } from './users.js';
import { versionCommand } from './version.js';
import { webhooksCommand } from './webhooks.js';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

const commands = [
  serveCommand,
  migrateCommand,
  keysCommand,
  clientsCommand,
  usersCommand,
  revokeCommand,
  auditCommand,
  anomaliesCommand,
  webhooksCommand,
  doctorCommand,
];

function programOf(context: Context): Command {
  const program = new Command('keyturn')
    .description(
      'A standalone authentication service. Reads its configuration from the environment: docs/configuration.md.',
    )
    .version(version)
    .configureHelp({ showGlobalOptions: false });
  for (const command of commands) program.addCommand(command(context));
  program.addCommand(versionCommand(context, version));
  settle(program, context.terminal);
  return program;
}

/** Commander hands its settings down only to the commands that it makes itself. */
function settle(command: Command, terminal: Terminal): void {
  const line = (write: (text: string) => void) => (text: string) => write(text.replace(/\n$/, ''));
  command.exitOverride().configureOutput({ writeOut: line(terminal.print), writeErr: line(terminal.note) });
  for (const sub of command.commands) settle(sub, terminal);
}

/** One line for what an operator can mend; everything for what only a developer can. */
function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (error instanceof Refusal) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
    const reasons = Array.isArray(error.extra.reasons) ? `: ${error.extra.reasons.join(', ')}` : '';
    return `${error.code}: ${error.detail}${reasons}${cause}`;
  }
  if (!(error instanceof Error)) return String(error);
  const ours = ['FolderInUse', 'KekProblem', 'Error'].includes(error.name);
  return ours ? error.message : (error.stack ?? error.message);
}

/** Resolves to the exit code: 0 done, 1 refused or failed with one clear line on stderr, 2 wrong usage. */
export async function runProgram(args: readonly string[], context: Context): Promise<number> {
  try {
    await programOf(context).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const wrongUsage = error instanceof WrongUsage || (error instanceof Refusal && error.code === 'invalid_request');
    context.terminal.note(
      wrongUsage ? `error: ${error instanceof Refusal ? error.detail : error.message}` : `keyturn: ${explain(error)}`,
    );
    return wrongUsage ? 2 : 1;
  }
}
