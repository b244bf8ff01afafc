/** The programs of examples/verify, and what docs/verify.md shows of them. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { buildLocalApp } from '../../src/http/local-app.js';
import { createLogger } from '../../src/logger.js';
import { breakableProjection } from '../support/breakable-projection.js';
import { commandsOn } from '../support/command-line.js';
import { startIssuer } from '../support/issuer.js';
import { eventually } from '../support/process.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = join(root, 'examples/verify/');
const AUDIENCE = 'api';
const text = readFileSync(join(root, 'docs/verify.md'), 'utf8');

interface Program {
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
const verifiers: Program[] = [
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

/** Not synchronous: the service that it asks is in this process. */
const run = ({ command, file }: Program, settings: Record<string, string>, token: string) =>
  new Promise<Outcome>((resolve) => {
    const env = { PATH: process.env.PATH, LANG: 'C.UTF-8', ISSUER: issuer, ...settings };
    const child = execFile(command, [folder + file], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
    child.stdin?.end(`${token}\n`);
  });

const redis = breakableProjection();
const issued = await startIssuer(t, { projection: redis.projection });
const { issuer } = issued;

t.test('the examples accept what they should, and nothing else', async (t) => {
  const { good, claims, bad, control } = issued;
  for (const verifier of verifiers) {
    await t.test(verifier.file, { skip: verifier.skip }, async (t) => {
      const accepted = await run(verifier, { AUDIENCE }, good);
      t.equal(accepted.code, 0, accepted.stderr);
      t.same(JSON.parse(accepted.stdout || 'null'), claims);
      t.equal((await run(verifier, { AUDIENCE }, control)).code, 0, 'one made in the way of the bad ones is accepted');
      for (const [what, token] of Object.entries(bad)) {
        const refused = await run(verifier, { AUDIENCE }, token);
        t.equal(refused.code, 1, `refuses a token that ${what}`);
        t.equal(refused.stdout, '');
        t.match(refused.stderr, /^refused: .+\n$/);
      }
    });
  }
});

const askers: Program[] = [
  { file: 'introspect.py', command: python, skip: unless(python, ['-c', ''], 'no Python') },
  { file: 'introspect.rb', command: ruby, skip: unless(ruby, ['-e', ''], 'no Ruby') },
];

t.test('those who ask accept what they should, nothing that is revoked, and know when it cannot be told', async (t) => {
  const { good, bad, service } = issued;
  const { auth_time: _, ...claims } = issued.claims;
  const { revocations } = service.services;
  const local = await buildLocalApp(service.services, createLogger('silent'));
  t.teardown(() => local.close());
  const [, command = ''] = /^keyturn (clients create --client-id billing .*)$/m.exec(text) ?? [];
  const client = await commandsOn(local).json(command.split(' '));
  const credentials = { CLIENT_ID: 'billing', CLIENT_SECRET: client.client_secret };
  const refused = { code: 1, stdout: '', stderr: 'refused\n' };
  const unknown = { code: 3, stdout: '', stderr: /^unknown: .+\n$/ };

  for (const asker of askers) {
    await t.test(asker.file, { skip: asker.skip }, async (t) => {
      const ask = (token: string) => run(asker, credentials, token);
      const accepted = await ask(good);
      t.equal(accepted.code, 0, accepted.stderr);
      t.same(JSON.parse(accepted.stdout || 'null'), { ...claims, active: true, token_type: 'Bearer' });
      for (const what of ['has expired', 'is for another audience', 'was changed', 'is none at all'])
        t.same(await ask(bad[what] ?? ''), refused, `refuses a token that ${what}`);

      const { access_token, refresh_token } = await service.login();
      t.same(await ask(refresh_token), refused, 'a refresh token');
      t.equal((await ask(access_token)).code, 0);
      await service.post('/v1/logout', { refresh_token });
      t.same(await ask(access_token), refused, 'one that was revoked');

      t.match(await run(asker, { ...credentials, CLIENT_SECRET: 'another' }, good), unknown);
      redis.break();
      await eventually(
        () => !revocations.isCurrent(),
        () => 'the node trusts its copy for ever',
      );
      t.match(await ask(good), unknown, 'the service itself cannot tell');
      redis.mend();
    });
  }
});

t.test('docs/verify.md shows parts of the programs, of each in the other languages one', async (t) => {
  const unindented = (part: string) => part.replace(/^[ \t]+/gm, '').trim();
  const programs = readdirSync(folder).filter((file) => /\.(py|rb|go|java)$/.test(file));
  const snippets = [...text.matchAll(/^```(?:python|ruby|go|java)\n(.*?)^```$/gms)].map(([, part = '']) =>
    unindented(part),
  );
  t.equal(snippets.length, programs.length);
  for (const file of programs) {
    const program = unindented(readFileSync(join(folder, file), 'utf8'));
    t.equal(snippets.filter((part) => program.includes(part)).length, 1, file);
  }
});
