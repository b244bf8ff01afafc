/** docs/verify.md: what it tells teams to write protects a service. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { buildLocalApp } from '../../src/http/local-app.js';
import { startRevocations } from '../../src/jobs/revocations.js';
import { createLogger } from '../../src/logger.js';
import { commandsOn } from '../support/command-line.js';
import { startIssuer } from '../support/issuer.js';
import { temporaryFolder } from '../support/process.js';
import { soon } from '../support/revocation-feed.js';
import { freePort, stopProcess } from '../support/servers.js';
import { outcomeOf } from '../support/verifier.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/verify.md'), 'utf8');
const issued = await startIssuer(t);
const { issuer } = issued;

/**
 * What stands in for Express, which is none of the dependencies: the little of it that the example uses, upon the
 * requests and responses of `node:http` as Express has them.
 */
const express = `
  import { createServer } from 'node:http';
  export default function express() {
    const routes = [];
    const add = (method) => (path, ...handlers) => routes.push({ method, path, handlers });
    return {
      get: add('GET'),
      post: add('POST'),
      listen: (port) => createServer((request, response) => {
        response.json = (body) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
        const { handlers } = routes.find(({ method, path }) => method === request.method && path === request.url);
        const run = ([first, ...rest]) => first(request, response, () => run(rest));
        run(handlers);
      }).listen(port, '127.0.0.1'),
    };
  }`;

/** The programs of docs/verify.md by their names, in a folder of a project that has keyturn and the frameworks. */
function documented(t: Test, changes: Record<string, string>): string {
  const project = temporaryFolder(t);
  mkdirSync(join(project, 'node_modules/express'), { recursive: true });
  for (const [name, target] of [
    ['keyturn', root],
    ['fastify', join(root, 'node_modules/fastify')],
  ] as const)
    symlinkSync(target, join(project, 'node_modules', name));
  writeFileSync(join(project, 'node_modules/express/package.json'), '{"type":"module","main":"index.js"}');
  writeFileSync(join(project, 'node_modules/express/index.js'), express);
  writeFileSync(join(project, 'package.json'), '{"type":"module"}');
  for (const [, file = '', code = ''] of text.matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gms)) {
    const changed = Object.entries(changes).reduce((all, [from, to]) => all.replaceAll(from, to), code);
    writeFileSync(join(project, file), changed);
  }
  return project;
}

/** Runs a program until the test is over. */
function run(t: Test, project: string, file: string, env: Record<string, string> = {}): void {
  const child = spawn(process.execPath, [file], {
    cwd: project,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => stopProcess(child, 'SIGKILL'));
}

const statusOf = async (url: string, method: string, token?: string) => {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return (await fetch(url, { method, headers })).status;
};

/** Asks as the text tells its reader to. */
async function answersAsTold(t: Test, url: string): Promise<void> {
  await soon(async () => (await statusOf(url, 'GET').catch(() => 0)) === 401, 'it listens');
  const response = await fetch(url, { headers: { authorization: `Bearer ${issued.good}` } });
  t.same(await response.json(), { ordersOf: issued.claims.sub });
  t.equal(await statusOf(url, 'POST', issued.good), 403);
  t.equal(await statusOf(url, 'POST', issued.bad['is for another audience']), 401);
}

for (const file of ['fastify.js', 'express.js']) {
  t.test(`docs/verify.md: ${file}`, async (t) => {
    const port = String(await freePort());
    const project = documented(t, { 'https://auth.example.com': issuer, '4000': port });
    run(t, project, file);
    await answersAsTold(t, `http://127.0.0.1:${port}/orders`);
  });
}

t.test('docs/verify.md: handler.js', async (t) => {
  const project = documented(t, { 'https://auth.example.com': issuer, "scope: 'orders:write'": "scope: ''" });
  const { handler } = await import(pathToFileURL(join(project, 'handler.js')).href);
  const ask = (token: string) =>
    handler(new Request('https://api.example.com/', { headers: { authorization: `Bearer ${token}` } }));
  t.same(await (await ask(issued.good)).json(), { ordersOf: issued.claims.sub });
  t.match(await (await ask(issued.bad['has expired'] ?? '')).json(), { status: 401, code: 'token_expired' });
});

t.test('docs/verify.md: following.js', async (t) => {
  const { service } = issued;
  t.teardown(startRevocations(service.services, createLogger('silent')));
  const local = await buildLocalApp(service.services, createLogger('silent'));
  t.teardown(() => local.close());
  const [, command = ''] = /^(keyturn clients create --client-id orders .*)$/m.exec(text) ?? [];
  const client = await commandsOn(local).json(command.split(' ').slice(1));
  Object.assign(process.env, { CLIENT_ID: client.client_id, CLIENT_SECRET: client.client_secret });
  const project = documented(t, { 'https://auth.example.com': issuer });
  const { verifier } = await import(pathToFileURL(join(project, 'following.js')).href);
  t.teardown(() => verifier.close());
  const [leaving, staying] = [await service.login(), await service.login()];
  for (const { access_token } of [leaving, staying])
    t.equal(await outcomeOf(verifier.verify(access_token)), 'accepted');
  await soon(() => service.services.feed.size() === 1, 'it listens');
  t.equal((await service.post('/v1/logout', { refresh_token: leaving.refresh_token })).statusCode, 204);
  const outcome = () => outcomeOf(verifier.verify(leaving.access_token));
  await soon(async () => (await outcome()) === 'token_revoked', 'it has heard');
  t.equal(await outcomeOf(verifier.verify(staying.access_token)), 'accepted');
});

t.test('docs/verify.md names every code', async (t) => {
  const codes = readFileSync(join(root, 'src/verifier/errors.ts'), 'utf8').matchAll(/^ {2}(\w+): \[\d+, /gm);
  const names = [...codes].map(([, code = '']) => code);
  t.ok(names.length > 10);
  for (const code of names) t.ok(text.includes(`\`${code}\``), code);
});
