import { execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/adapters/system/clock.js';
import { createAccessTokenIssuer } from '../../src/domain/access-token.js';
import { seconds } from '../../src/domain/types.js';
import { forgeOf } from '../support/forge.js';
import { temporaryFolder } from '../support/process.js';
import { revocation, soon, startFeed } from '../support/revocation-feed.js';
import { freePort, stopProcess } from '../support/servers.js';
import { startService } from '../support/service.js';
import { claimsAt, outcomeOf, rsaKey } from '../support/verifier.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = join(root, 'examples/verify/');
const AUDIENCE = 'api';

interface Verifier {
  file: string;
  command: string;
  skip: string | false;
}

function unless(command: string, args: string[], reason: string): string | false {
  try {
    if (existsSync(command)) execFileSync(command, args, { stdio: 'ignore' });
    return existsSync(command) ? false : reason;
  } catch {
    return reason;
  }
}

const [python, ruby] = ['/usr/bin/python3', '/usr/bin/ruby'];
const verifiers: Verifier[] = [
  { file: 'verify.mjs', command: process.execPath, skip: false },
  {
    file: 'verify.py',
    command: python,
    skip: unless(python, ['-c', 'import jwt, cryptography'], 'no PyJWT: install python3-jwt and python3-cryptography'),
  },
  {
    file: 'verify.rb',
    command: ruby,
    skip: unless(ruby, ['-e', 'require "jwt"'], 'no ruby-jwt: install ruby and ruby-jwt'),
  },
];

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Not synchronous: the service that it asks for the keys is in this process. */
const verify = ({ command, file }: Verifier, issuer: string, token: string) =>
  new Promise<Outcome>((resolve) => {
    const env = { PATH: process.env.PATH, LANG: 'C.UTF-8', ISSUER: issuer, AUDIENCE };
    const child = execFile(command, [folder + file], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
    child.stdin?.end(`${token}\n`);
  });

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString());

/** A service that listens, a token that it issued, and some that nobody should believe, by what is wrong with them. */
async function tokens(t: Test) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const { app, services, register, login } = await startService(t, { clock: systemClock, env: { ISSUER: issuer } });
  await app.listen({ host: '127.0.0.1', port });
  await register();
  const { access_token: good } = await login();
  const [header, payload, signature] = good.split('.');

  const now = seconds(systemClock.now());
  const content = { sub: 'somebody', aud: AUDIENCE, iat: now, ttl: 900, jti: 'a', clientId: 'default', scope: '' };
  const issue = (changes: Partial<typeof content>, as = issuer) =>
    createAccessTokenIssuer(as, services.keys).issue({ ...content, ...changes });
  const { kid, alg, handle } = services.keys.signingKey();
  const signed = async (head: object, claims: object) => {
    const input = `${encode(head)}.${encode(claims)}`;
    return `${input}.${Buffer.from(await handle.sign(Buffer.from(input))).toString('base64url')}`;
  };
  const { exp, ...withoutExp } = decode(payload);
  const bad: Record<string, string> = {
    'has expired': await issue({ iat: now - 1000 }),
    'is not valid yet': await issue({ iat: now + 600 }),
    'is for another audience': await issue({ aud: 'admin-api' }),
    'is of another issuer': await issue({}, 'https://other.example.com'),
    'was changed': `${header}.${encode({ ...decode(payload), sub: 'somebody else' })}.${signature}`,
    'is not signed': `${encode({ ...decode(header), alg: 'none' })}.${payload}.`,
    'names an unknown key': `${encode({ ...decode(header), kid: 'unknown' })}.${payload}.${signature}`,
    'is of another type': await signed({ alg, kid, typ: 'JWT' }, { ...withoutExp, exp }),
    'has no end': await signed({ alg, kid, typ: 'at+jwt' }, withoutExp),
    'is none at all': 'nonsense',
  };
  return { issuer, good, claims: decode(payload), bad, control: await issue({}) };
}

const issued = await tokens(t);
const { issuer } = issued;

t.test('the examples accept what they should, and nothing else', async (t) => {
  const { good, claims, bad, control } = issued;
  for (const verifier of verifiers) {
    await t.test(verifier.file, { skip: verifier.skip }, async (t) => {
      const accepted = await verify(verifier, issuer, good);
      t.equal(accepted.code, 0, accepted.stderr);
      t.same(JSON.parse(accepted.stdout || 'null'), claims);
      t.equal((await verify(verifier, issuer, control)).code, 0, 'one made in the way of the bad ones is accepted');
      for (const [what, token] of Object.entries(bad)) {
        const refused = await verify(verifier, issuer, token);
        t.equal(refused.code, 1, `refuses a token that ${what}`);
        t.equal(refused.stdout, '');
        t.match(refused.stderr, /^refused: .+\n$/);
      }
    });
  }
});

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
  const text = readFileSync(join(root, 'docs/verify.md'), 'utf8');
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
  const feed = await startFeed(t);
  const key = rsaKey('Key-1');
  const asked: string[] = [];
  feed.elsewhere = async (request, response) => {
    const isToken = request.url === '/oauth/token';
    if (isToken) asked.push(`${request.headers.authorization} ${await text(request)}`);
    response.end(JSON.stringify(isToken ? { access_token: 'the-token' } : { keys: [key.publicJwk] }));
  };
  const project = documented(t, { 'https://auth.example.com': feed.url });
  Object.assign(process.env, { CLIENT_ID: 'orders', CLIENT_SECRET: 'secret' });
  const { verifier } = await import(pathToFileURL(join(project, 'following.js')).href);
  t.teardown(() => verifier.close());
  t.same(asked, [`Basic ${btoa('orders:secret')} grant_type=client_credentials&scope=revocations%3Aread`]);
  t.same([...new Set(feed.asked.map(({ bearer }) => bearer))], ['the-token']);

  const now = seconds(systemClock.now());
  const token = forgeOf({
    ...key,
    header: { alg: 'RS256', kid: key.kid, typ: 'at+jwt' },
    claims: claimsAt(now, { iss: feed.url }),
  }).token();
  t.equal(await outcomeOf(verifier.verify(token)), 'accepted');
  await soon(() => feed.open() === 1, 'it listens');
  feed.publish(revocation('sub', 'ada', now + 1));
  await soon(async () => (await outcomeOf(verifier.verify(token))) === 'token_revoked', 'it has heard');
});

t.test('docs/verify.md names every code, and links to what is there', async (t) => {
  const text = readFileSync(join(root, 'docs/verify.md'), 'utf8');
  const codes = readFileSync(join(root, 'src/verifier/errors.ts'), 'utf8').matchAll(/^ {2}(\w+): \[\d+, /gm);
  const names = [...codes].map(([, code = '']) => code);
  t.ok(names.length > 10);
  for (const code of names) t.ok(text.includes(`\`${code}\``), code);
  for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
    t.ok(existsSync(join(root, 'docs', target)), target);
});
