import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/adapters/system/clock.js';
import { createAccessTokenIssuer } from '../../src/domain/access-token.js';
import { seconds } from '../../src/domain/types.js';
import { freePort } from '../support/servers.js';
import { startService } from '../support/service.js';

const folder = fileURLToPath(new URL('../../../examples/verify/', import.meta.url));
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

t.test('the examples accept what they should, and nothing else', async (t) => {
  const { issuer, good, claims, bad, control } = await tokens(t);
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
