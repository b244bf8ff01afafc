// Runs the command line of a checkout: builds first when that is needed, then goes on in this same process, so that
// signals reach the service itself.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureBuilt, root } from './build.js';

ensureBuilt();
await import(pathToFileURL(join(root, 'dist/src/cli/keyturn.js')).href);
