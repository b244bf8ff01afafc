import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { pasteable } from '../../src/cli/welcome.js';
import { embeddedFolder } from '../support/databases.js';
import { logPath, noteSecret, noteSecretsOf } from '../support/run-log.js';
import { freePort, stopProcess } from '../support/servers.js';
import { PASSWORD } from '../support/service.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({
  language,
  text,
}));
const shell = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text.trim());
const ADDRESS = 'http://127.0.0.1:3000';
const READY_TIMEOUT_MS = 60_000;
const ATTEMPTS = 3;

const answers = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

async function whenReady(child: ChildProcess, address: string): Promise<boolean> {
  for (const start = Date.now(); Date.now() - start < READY_TIMEOUT_MS; await sleep(100)) {
    if (child.exitCode !== null) return false;
    if (await answers(`${address}/readyz`)) return true;
  }
  return false;
}

/** What `npm start` runs, in folders of its own, with the address at which it listens. */
async function serve(t: Test): Promise<string> {
  const keys = mkdtempSync(join(tmpdir(), 'keyturn-keys-'));
  t.teardown(() => rmSync(keys, { recursive: true, force: true }));
  const data = embeddedFolder(t);
  const log = logPath('readme');
  const stdout = log === null ? 'ignore' : openSync(log, 'a');
  if (typeof stdout === 'number') t.teardown(() => closeSync(stdout));
  // Somebody else may take a port that was free a moment ago.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = String(await freePort());
    const child = spawn(process.execPath, ['dist/src/cli/keyturn.js', 'serve'], {
      cwd: root,
      // What a machine that is busy with other tests sheds is not what this is about.
      env: { PATH: process.env.PATH, DATA_DIR: data, KEYS_DIR: keys, PORT: port, LIMIT_EVENT_LOOP_DELAY: '0' },
      stdio: ['ignore', stdout, 'ignore'],
    });
    t.teardown(() => stopProcess(child, 'SIGTERM'));
    const address = `http://127.0.0.1:${port}`;
    if (await whenReady(child, address)) return address;
    await stopProcess(child, 'SIGKILL');
  }
  throw new Error('the service does not start');
}

const KEY = 'drawn-once-and-sent-twice';

async function refreshWith(address: string, { refresh_token }: { refresh_token: string }) {
  const response = await fetch(`${address}/v1/refresh`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': KEY },
    body: JSON.stringify({ refresh_token }),
  });
  const tokens = (await response.json()) as Record<string, unknown>;
  noteSecretsOf(tokens);
  return { outcome: response.headers.get('keyturn-refresh-outcome'), tokens };
}

t.test('the two commands are on a line each', async (t) => {
  t.same(shell.slice(0, 2), ['npm ci && npm start', 'npm ci && npm test']);
});

t.test('the lines to paste are those that the service prints', async (t) => {
  const { register, login, refresh } = pasteable(ADDRESS);
  t.equal(shell[2], [register, login, refresh].join('\n'));
});

const missing = ['bash', 'curl'].filter((command) => spawnSync(command, ['--version']).error !== undefined);
const skip = missing.length > 0 && `no ${missing.join(' and ')} to paste the lines into`;

t.test('the lines to paste register, log in and refresh, as often as you like', { skip }, async (t) => {
  const address = await serve(t);
  const [register, login, refresh] = (shell[2] ?? '').replaceAll(ADDRESS, address).split('\n');
  noteSecret(PASSWORD, KEY);
  const script = [register, login, refresh, refresh].join('\n');
  const { stdout } = await promisify(execFile)('bash', ['-euc', script], { env: { PATH: process.env.PATH } });
  const lines = stdout.trim().split('\n');
  for (const line of lines) noteSecretsOf(line);
  const [user, first, second, repeated] = lines.map((line) => JSON.parse(line));
  t.match(user, { id: /^[0-9a-f-]{36}$/, email: 'ada@example.com', email_verified: false });
  for (const tokens of [first, second]) {
    t.match(tokens, { access_token: /^ey/, token_type: 'Bearer', expires_in: 900, refresh_token: /^ktr_/ });
  }
  t.equal(second.session_id, first.session_id);
  t.not(second.refresh_token, first.refresh_token);
  for (const name of ['access_token', 'refresh_token'])
    t.equal(repeated[name], second[name], `who sends the refresh again gets the same ${name}`);

  const twice = await Promise.all([refreshWith(address, second), refreshWith(address, second)]);
  t.same(twice.map(({ outcome }) => outcome).sort(), ['replayed', 'rotated'], 'as in the diagram');
  for (const name of ['access_token', 'refresh_token']) {
    t.equal(twice[0]?.tokens[name], twice[1]?.tokens[name], `both get the same ${name}`);
  }
});
