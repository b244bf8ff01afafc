/** docs/webhooks.md: its commands do what they are said to do, and its programs take what is signed and nothing else. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import t from 'tap';
import { instant } from '../../src/domain/types.js';
import { signedHeaders } from '../../src/domain/webhooks.js';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { adminTokens } from '../support/administrator.js';
import { commandsOn } from '../support/command-line.js';
import { startService } from '../support/service.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/webhooks.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);

const key = (secret: string) => Buffer.from(secret.slice(6), 'base64');
const [SECRET = ''] = /whsec_[\w+/]{43}=/.exec(text) ?? [];
const [example = ''] = blocks('http');
const [head = '', body = ''] = example.trimEnd().split('\n\n');
const headerOf = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(head)?.[1] ?? '';
const id = headerOf('webhook-id');

/** What a receiver may get, and whether it should take it. */
function cases(): [what: string, headers: Record<string, string>, body: string, good: boolean][] {
  const now = Date.now();
  const other = key(`whsec_${Buffer.alloc(32, 8).toString('base64')}`);
  const at = (ms: number, ...keys: Uint8Array[]) => signedHeaders(id, body, keys, instant(ms));
  const good = at(now, key(SECRET));
  return [
    ['is signed', good, body, true],
    ['is signed with the secret before, too', at(now, other, key(SECRET)), body, true],
    ['is signed with another secret', at(now, other), body, false],
    ['was changed', good, body.replace('"17"', '"18"'), false],
    ['has the id of another one', { ...good, 'webhook-id': 'x' }, body, false],
    ['is old', at(now - 3_600_000, key(SECRET)), body, false],
    ['is of tomorrow', at(now + 3_600_000, key(SECRET)), body, false],
    ['says it is newer', { ...good, 'webhook-timestamp': String(Math.floor(now / 1000) + 1) }, body, false],
    ['has no signature', { ...good, 'webhook-signature': '' }, body, false],
    ['has a signature with other letters', { ...good, 'webhook-signature': 'v1,é' }, body, false],
    ['has another kind of signature', { ...good, 'webhook-signature': 'v2,AAAA' }, body, false],
  ];
}

t.test('the example is one that Keyturn would have sent', async (t) => {
  const at = instant(Number(headerOf('webhook-timestamp')) * 1000);
  t.equal(signedHeaders(id, body, [key(SECRET)], at)['webhook-signature'], headerOf('webhook-signature'));
  t.match(JSON.parse(body), { type: 'login.failed', data: { id: '17' } });
});

t.test('the programs in JavaScript take what is signed, and nothing else', async (t) => {
  // Beside the packages that they import.
  const folder = mkdtempSync(join(root, 'dist/webhooks-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const programs = blocks('js');
  t.equal(programs.length, 2);
  for (const [n, program] of programs.entries()) {
    const file = join(folder, `${n}.mjs`);
    writeFileSync(file, program);
    const { eventOf } = await import(pathToFileURL(file).href);
    for (const [what, headers, sent, good] of cases()) {
      if (good) t.match(eventOf(sent, headers, SECRET), { type: 'login.failed' }, what);
      else t.throws(() => eventOf(sent, headers, SECRET), what);
    }
  }
});

const python = '/usr/bin/python3';
function withoutPython(): string | false {
  try {
    execFileSync(python, ['-c', ''], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no Python: install python3';
  }
}

t.test('so does the one in Python', { skip: withoutPython() }, async (t) => {
  const [program = ''] = blocks('python');
  const all = cases();
  const run = `${program}
import sys
for headers, body in json.load(sys.stdin):
    try:
        print(event_of(body.encode(), headers, ${JSON.stringify(SECRET)})["type"])
    except ValueError:
        print("refused")
`;
  const input = JSON.stringify(all.map(([, headers, sent]) => [headers, sent]));
  const said = execFileSync(python, ['-c', run], { input, encoding: 'utf8' }).trim().split('\n');
  t.same(
    said,
    all.map(([, , , good]) => (good ? 'login.failed' : 'refused')),
  );
});

t.test('the commands do what they are said to do', async (t) => {
  const service = await startService(t);
  const app = await buildLocalApp(service.services, createLogger('silent'));
  t.teardown(() => app.close());
  const { keyturn } = commandsOn(app);
  const lines = blocks('sh').join('').replaceAll('\\\n', '').split('\n');
  const commands = lines.filter((line) => line.startsWith('keyturn '));
  t.equal(commands.length, 9);
  let webhook = '';
  const said: string[] = [];
  for (const command of commands) {
    const words = (command.match(/"[^"]*"|\S+/g) ?? []).slice(1).map((word) => word.replace(/^"(.*)"$/, '$1'));
    const { code, stdout } = await keyturn(words.map((word) => (word === '$WEBHOOK' ? webhook : word)));
    t.equal(code, 0, command);
    webhook ||= /^id +(\S+)$/m.exec(stdout)?.[1] ?? '';
    said.push(stdout);
  }
  const [created, list, tested, deliveries, , updated, rotated, retried, deleted] = said;
  t.match(created, /^secret +whsec_\S+$/m);
  t.match(list, /login\.\* refresh\.reused +active/);
  for (const sent of [tested, deliveries]) t.match(sent, /webhook\.test +pending/);
  t.match(updated, /^description +the SIEM$/m);
  t.match(rotated, /^secret +whsec_\S+$/m);
  t.equal(retried, '0 are sent again\n');
  t.equal(deleted, `deleted ${webhook}\n`);

  const [curl = ''] = lines.filter((line) => line.startsWith('curl '));
  const [, sent = ''] = /-d '(.*)'$/.exec(curl) ?? [];
  const { access_token: token } = await adminTokens(service);
  const answer = await service.post('/v1/admin/webhooks', JSON.parse(sent), { authorization: `Bearer ${token}` });
  t.match(answer.json(), { description: 'SIEM', secret: /^whsec_/ });
});

t.test('every route is in the table', async (t) => {
  const { paths } = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8'));
  const routes = Object.entries(paths as Record<string, object>).flatMap(([path, methods]) =>
    path.startsWith('/v1/admin/webhooks')
      ? Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
      : [],
  );
  const shown = [...text.matchAll(/^\| `webhooks [^|]*\| `([A-Z]+ [^`]+)` +\|/gm)].map(([, route]) => route);
  t.same(shown.sort(), routes.sort());
});
