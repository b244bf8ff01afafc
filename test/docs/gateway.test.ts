/** docs/gateway.md: what it tells its reader to do protects the backend of the examples. */
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { commandsOn } from '../support/command-line.js';
import { startBackend, startGateway, withoutGateway } from '../support/gateways.js';
import { noteSecret } from '../support/run-log.js';
import { startService } from '../support/service.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/gateway.md'), 'utf8');
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block.trim());
const [commands = '', requests = ''] = blocks('sh');

const missing = ['bash', 'curl', 'awk'].find((command) => spawnSync(command, ['--version']).error !== undefined);
const skip = withoutGateway('nginx') || (missing !== undefined && `no ${missing} to paste the lines into`);

t.test('who follows it is let in, known by the backend, and shut out again', { skip }, async (t) => {
  const service = await startService(t, { env: { TRUST_PROXY: '127.0.0.1' } });
  const local = await buildLocalApp(service.services, createLogger('silent'));
  t.teardown(() => local.close());
  const { keyturn } = commandsOn(local);
  for (const line of commands.split('\n')) {
    const [, password = '', words = ''] = /^(?:echo '(.*)' \| )?keyturn (.*)$/.exec(line) ?? [];
    const { code, stderr } = await keyturn(words.split(' '), { input: password });
    t.equal(code, 0, `${line}: ${stderr}`);
  }

  await service.app.listen({ host: '127.0.0.1', port: 0 });
  const { port: backend, arrived } = await startBackend(t);
  const keyturnPort = Number(new URL(service.app.listeningOrigin).port);
  const url = await startGateway(t, 'nginx', { keyturn: keyturnPort, backend });

  const script = `${requests.replaceAll('http://api.example.com', url)}\necho; echo "token: $TOKEN"`;
  // curl ends no line.
  const separate = script.replaceAll(/^curl .*$/gm, '$&; echo');
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', separate], {
    env: { PATH: process.env.PATH },
  });
  noteSecret(/^token: (\S+)$/m.exec(stdout)?.[1]);

  const statuses = [...stdout.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));
  t.same(statuses, [401, 200, 201, 200, 204, 401], 'as the text says');
  t.match(text, /401; 200 with your id; 201; 200 with your id, not the other; 204; 401/);
  const users = [...stdout.matchAll(/"user":"([^"]+)"/g)].map(([, user]) => user);
  t.same(
    users,
    arrived.filter(({ url }) => url === '/whoami').map(({ headers }) => headers['x-auth-subject']),
  );
  t.equal(new Set(users).size, 1);
  t.notMatch(stdout, /somebody-else/);
  t.match(stdout, /"code":"token_missing"[\s\S]*"code":"token_revoked"/);
});

t.test('what it shows of the configuration is there', async (t) => {
  const conf = readFileSync(join(root, 'examples/gateway/nginx/keyturn.conf'), 'utf8');
  const shown = blocks('nginx');
  t.equal(shown.length, 1);
  for (const part of shown) t.ok(conf.includes(part), part);
});
