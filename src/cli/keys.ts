import { Command } from 'commander';
import { makeKek } from '../adapters/kek-files/kek-source.js';
import { systemClock } from '../adapters/system/clock.js';
import { systemRandom } from '../adapters/system/random.js';
import { readConfig } from '../config.js';
import type { Context } from './context.js';
import { type Shared, show, withJson } from './options.js';

export const keysCommand = (context: Context): Command => {
  const keys = new Command('keys').description('Signing keys and the keys that seal them');
  withJson(keys.command('new-kek'))
    .description('Make a new key-encryption key in KEYS_DIR; the newest one seals')
    .addHelpText('after', '\nExample:\n  KEYS_DIR=/etc/keyturn/keys keyturn keys new-kek')
    .action((options: Shared) => {
      const path = makeKek(readConfig(undefined, 'command').KEYS_DIR, systemClock.now(), systemRandom);
      show(context, options, { path }, () => `made ${path}; keep a copy of it with your backups`);
    });
  return keys;
};
