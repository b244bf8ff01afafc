/** The commands of docs/runbooks, as they are written there. */
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { withoutPostgres } from './databases.js';
import { KEYTURN } from './process.js';

const folder = fileURLToPath(new URL('../../../docs/runbooks/', import.meta.url));
const AS_A_FUNCTION = 'keyturn() { "$NODE" "$KEYTURN" "$@"; }';

export const withoutBash =
  withoutPostgres || (spawnSync('bash', ['--version']).error !== undefined && 'no bash to run them');

export const runbooks = (): string[] => readdirSync(folder).filter((file) => file !== 'README.md');

/** Those in a list are indented. */
function commandsOf(file: string): string {
  const text = readFileSync(join(folder, file), 'utf8');
  return [...text.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].map(([, block]) => block).join('\n');
}

/** Runs all commands of a runbook in the environment of a service. */
export const followRunbook = (file: string, env: NodeJS.ProcessEnv): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)('bash', ['-euo', 'pipefail', '-c', `${AS_A_FUNCTION}\n${commandsOf(file)}`], {
    env: { PATH: process.env.PATH, NODE: process.execPath, KEYTURN, ...env },
  });
