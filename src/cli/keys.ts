import { Command } from 'commander';
import { makeKek } from '../adapters/kek-files/kek-source.js';
import { systemClock } from '../adapters/system/clock.js';
import { systemRandom } from '../adapters/system/random.js';
import { readConfig } from '../config.js';

export const keysCommand = (): Command => {
  const keys = new Command('keys').description('Signing keys and the keys that seal them');
  keys
    .command('new-kek')
    .description('Make a new key-encryption key in KEYS_DIR; the newest one seals')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  KEYS_DIR=/etc/keyturn/keys keyturn keys new-kek')
    .action(({ json }: { json?: true }) => {
      const path = makeKek(readConfig(undefined, 'command').KEYS_DIR, systemClock.now(), systemRandom);
      console.log(json ? JSON.stringify({ path }) : `made ${path}; keep a copy of it with your backups`);
    });
  return keys;
};
