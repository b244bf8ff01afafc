/** SoftHSM 2: the PKCS #11 token that every machine can have. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DeviceSettings, loadPackage } from '../../src/adapters/pkcs11/device.js';
import { noteSecret } from './run-log.js';

const library = ['/usr/lib/softhsm', '/usr/lib64', '/usr/local/lib/softhsm', '/opt/homebrew/lib/softhsm']
  .map((folder) => join(folder, 'libsofthsm2.so'))
  .find(existsSync);

function why(): string | false {
  if (library === undefined) return 'SoftHSM is not installed (Debian: softhsm2)';
  try {
    loadPackage();
    return false;
  } catch {
    return 'pkcs11js is not installed: see docs/hsm.md';
  }
}

/** For the `skip` of a test. */
export const withoutSoftHsm: string | false = why();

let made: Device | null = null;

interface Device {
  settings: DeviceSettings;
  /** What another process needs to see the same token. */
  env: { SOFTHSM2_CONF: string };
  /** And a service, to keep its keys there. */
  variables: Record<string, string>;
}

/** One token for each test file: the library looks for its tokens once in the life of a process. */
export function softHsm(): Device {
  if (made !== null) return made;
  if (library === undefined) throw new Error('there is no SoftHSM');
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-softhsm-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const env = { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') };
  writeFileSync(env.SOFTHSM2_CONF, `directories.tokendir = ${folder}\nlog.level = ERROR\n`);
  process.env.SOFTHSM2_CONF = env.SOFTHSM2_CONF;
  const settings = { module: library, token: 'keyturn; 100% test', pin: 'hunter2-pin' };
  noteSecret(settings.pin);
  const args = ['--init-token', '--free', '--label', settings.token, '--pin', settings.pin, '--so-pin', 'hunter2-so'];
  execFileSync('softhsm2-util', args, { env: { ...process.env, ...env }, stdio: 'ignore' });
  const variables = {
    ...env,
    NODE_PATH: process.env.NODE_PATH ?? '',
    SIGNER: 'pkcs11',
    PKCS11_MODULE: settings.module,
    PKCS11_TOKEN: settings.token,
    PKCS11_PIN: settings.pin,
  };
  made = { settings, env, variables };
  return made;
}
