#!/usr/bin/env node
/** The command `keyturn`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { withAdministration } from './administration.js';
import { runProgram } from './program.js';
import { terminal } from './terminal.js';

const code = await runProgram(process.argv.slice(2), { terminal, administration: withAdministration, pause: sleep });
// A service goes on; what failed does not, whatever is still open. What was printed is out by then.
if (code !== 0) process.stdout.write('', () => process.exit(code));
