/** What is published as keyturn/verifier: that jose is all that it needs, and that it has its types with it. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import t from 'tap';
import { temporaryFolder } from '../support/process.js';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const { exports, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const entries = ['./verifier', './verifier/express', './verifier/fastify'];

t.test('it imports jose, and nothing else of the package, of Node, or of anybody', async (t) => {
  const { metafile } = await build({
    entryPoints: entries.map((name) => join(root, exports[name].default)),
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    external: ['jose'],
    outdir: 'unused',
    metafile: true,
    write: false,
  });
  const foreign = Object.keys(metafile.inputs).filter((path) => !/dist\/src\/verifier\/[a-z0-9-]+\.js$/.test(path));
  t.same(foreign, []);
  const imported = Object.values(metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path));
  t.same([...new Set(imported)], ['jose']);
  t.match(dependencies, { jose: String });
});

t.test('it is imported by its published names', async (t) => {
  for (const [name, exported] of [
    ['keyturn/verifier', ['VerifyError', 'createVerifier']],
    ['keyturn/verifier/express', ['claimsOf', 'requireToken']],
    ['keyturn/verifier/fastify', ['claimsOf', 'keyturn', 'requireToken']],
  ] as const) {
    t.same(Object.keys(await import(name)).sort(), exported);
  }
});

const use = `
  import { createVerifier, VerifyError, type AccessTokenClaims } from 'keyturn/verifier';
  const verifier = createVerifier({
    issuer: 'https://auth.example.com',
    audience: 'api',
    revocation: { follow: { token: async () => 'token' }, maxStaleness: 10, onUnknown: 'reject' },
  });
  export async function handler(request: Request): Promise<Response> {
    try {
      const claims: AccessTokenClaims = await verifier.verifyRequest(request, { scope: 'orders:read' });
      return Response.json({ sub: claims.sub, roles: claims.roles?.map((role) => role.length) });
    } catch (error) {
      if (error instanceof VerifyError && error.code === 'token_expired') return error.toResponse();
      throw error;
    }
  }
  // @ts-expect-error: an audience is needed
  createVerifier({ issuer: 'https://auth.example.com' });
  // @ts-expect-error: secrets verify nothing
  createVerifier({ issuer: 'https://auth.example.com', audience: 'api', algorithms: ['HS256'] });`;

const servers = `
  import { createServer } from 'node:http';
  import fastify from 'fastify';
  import { createVerifier } from 'keyturn/verifier';
  import { requireToken as forExpress } from 'keyturn/verifier/express';
  import { claimsOf, keyturn, requireToken } from 'keyturn/verifier/fastify';
  const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'api' });
  const app = fastify();
  await app.register(keyturn, { verifier });
  app.get('/', { onRequest: requireToken(verifier, { scope: 'a' }) }, async (request) => claimsOf(request).sub);
  createServer((request, response) => forExpress(verifier)(request, response, () => response.end()));`;

t.test(
  'its types are there for a project that knows Node, for one that knows browsers, and with Fastify',
  async (t) => {
    const folder = temporaryFolder(t);
    const modules = join(folder, 'node_modules');
    mkdirSync(join(modules, 'keyturn/dist/src'), { recursive: true });
    cpSync(join(root, 'package.json'), join(modules, 'keyturn/package.json'));
    cpSync(join(root, 'dist/src/verifier'), join(modules, 'keyturn/dist/src/verifier'), { recursive: true });
    mkdirSync(join(modules, '@types'));
    for (const name of ['@types/node', 'undici-types', 'jose', 'fastify'])
      symlinkSync(join(root, 'node_modules', name), join(modules, name));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'handler.ts'), use);
    writeFileSync(join(folder, 'servers.ts'), servers);
    // tap loads itself into every child by NODE_OPTIONS, and the compiler cannot be loaded with it.
    const compiler = ['-u', 'NODE_OPTIONS', process.execPath, join(root, 'node_modules/typescript/bin/tsc')];
    const tsc = (...args: string[]) => {
      try {
        return execFileSync('env', [...compiler, '--noEmit', '--strict', '--target', 'es2023', ...args], {
          cwd: folder,
          encoding: 'utf8',
        });
      } catch (error) {
        return String((error as { stdout?: string }).stdout);
      }
    };
    t.equal(tsc('handler.ts', '--module', 'nodenext', '--types', 'node'), '');
    t.equal(
      tsc('handler.ts', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2023,dom', '--types', ''),
      '',
    );
    t.equal(tsc('servers.ts', '--module', 'nodenext', '--types', 'node', '--skipLibCheck'), '');
  },
);
