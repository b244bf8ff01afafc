/** A real HAProxy from the machine's binaries, with the very files of examples/gateway/haproxy. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './process.js';
import type { Scope } from './scope.js';
import { findBinary, freePort, stopProcess } from './servers.js';

const example = fileURLToPath(new URL('../../../examples/gateway/haproxy/', import.meta.url));

/** Debian has it where only root looks. */
const binary = findBinary('haproxy') ?? ['/usr/sbin/haproxy'].find(existsSync);

/** For a test's option `skip`: the reason where there is no HAProxy, else false. */
export const withoutHaproxy = binary === undefined && 'no HAProxy: install haproxy';

/** As an operator changes it; an example that no longer has the place is an example that says something else. */
function change(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`the example has no ${from}`);
    return changed.replaceAll(from, to);
  }, text);
}

/** Resolves to its port when it takes requests. `changes` are what an operator writes into the configuration. */
export async function startHaproxy(
  t: Scope,
  ports: { keyturn: number; backend: number },
  changes: Readonly<Record<string, string>> = {},
): Promise<number> {
  if (binary === undefined) throw new Error('no HAProxy');
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-haproxy-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [gateway, check] = [await freePort(), await freePort()];
  const lua = join(folder, 'keyturn.lua');
  const config = join(folder, 'haproxy.cfg');
  const read = (name: string) => readFileSync(join(example, name), 'utf8');
  const checkAddress = { '127.0.0.1:8081': `127.0.0.1:${check}` };
  writeFileSync(lua, change(read('keyturn.lua'), checkAddress));
  writeFileSync(
    config,
    change(read('haproxy.cfg'), {
      ...checkAddress,
      '/etc/haproxy/keyturn.lua': lua,
      'bind :8080': `bind 127.0.0.1:${gateway}`,
      'keyturn:3000': `127.0.0.1:${ports.keyturn}`,
      'backend:8080': `127.0.0.1:${ports.backend}`,
      ...changes,
    }),
  );
  const child = spawn(binary, ['-q', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  // SIGTERM waits for nobody, SIGUSR1 would.
  t.teardown(() => stopProcess(child, 'SIGTERM'));
  await eventually(
    async () => {
      if (child.exitCode !== null) return true;
      return (await fetch(`http://127.0.0.1:${gateway}/`)).status !== 0;
    },
    () => `HAProxy did not come up: ${output}`,
  );
  if (child.exitCode !== null) throw new Error(`HAProxy ended with ${child.exitCode}: ${output}`);
  return gateway;
}
