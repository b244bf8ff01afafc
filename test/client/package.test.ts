/** What is published as keyturn/client: that it is small, depends on nothing, and has its types with it. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import t from 'tap';
import { temporaryFolder } from '../support/process.js';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const MAX_GZIPPED_BYTES = 4_000;

t.test('for a browser it is one module of less than 4 kB, and imports nothing', async (t) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(root, exports['./client'].default)],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    write: false,
  });
  const bytes = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length;
  t.comment(`${bytes} bytes, minified and gzipped`);
  t.ok(bytes > 500 && bytes < MAX_GZIPPED_BYTES, `${bytes} bytes`);
  const foreign = Object.keys(metafile.inputs).filter((path) => !/dist\/src\/client\/[a-z-]+\.js$/.test(path));
  t.same(foreign, []);
});

t.test('it is imported by its published names', async (t) => {
  for (const [name, exported] of [
    ['keyturn/client', ['AuthError', 'createAuthClient', 'memoryStorage', 'webStorage']],
    ['keyturn/client/node', ['fileStorage']],
  ] as const) {
    t.same(Object.keys(await import(name)).sort(), exported);
  }
});

t.test('its types are there for a project that knows browsers and not Node, and for one that knows Node', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'node_modules/keyturn/dist/src'), { recursive: true });
  cpSync(join(root, 'package.json'), join(folder, 'node_modules/keyturn/package.json'));
  cpSync(join(root, 'dist/src/client'), join(folder, 'node_modules/keyturn/dist/src/client'), { recursive: true });
  mkdirSync(join(folder, 'node_modules/@types'));
  for (const name of ['node', '../undici-types'])
    symlinkSync(join(root, 'node_modules/@types', name), join(folder, 'node_modules/@types', name));
  const use = `
    const auth = createAuthClient({ baseUrl: 'https://auth.example.com', clientId: 'default', storage });
    const token: string | null = await auth.getAccessToken();
    const status: number = (await auth.fetch('/orders', { method: 'POST' })).status;
    auth.onSessionEnd((reason) => { if (reason === 'session_expired') console.log(token, status); });
    // @ts-expect-error: there is no such member
    auth.nothing();`;
  writeFileSync(
    join(folder, 'page.ts'),
    `import { createAuthClient, webStorage } from 'keyturn/client';\nconst storage = webStorage(localStorage);${use}`,
  );
  writeFileSync(
    join(folder, 'script.ts'),
    `import { createAuthClient } from 'keyturn/client';\nimport { fileStorage } from 'keyturn/client/node';\nconst storage = fileStorage('.session');${use}`,
  );
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const tsc = (...args: string[]) =>
    execFileSync(process.execPath, [compiler, '--noEmit', '--strict', '--target', 'es2022', ...args], {
      cwd: folder,
      encoding: 'utf8',
    });
  t.equal(
    tsc('page.ts', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2022,dom', '--types', ''),
    '',
  );
  t.equal(tsc('script.ts', '--module', 'nodenext', '--types', 'node'), '');
});
