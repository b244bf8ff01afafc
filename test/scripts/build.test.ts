import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../support/process.js';

t.test('without the development dependencies the build says in one line how to get them', async (t) => {
  const checkout = temporaryFolder(t);
  mkdirSync(join(checkout, 'scripts'));
  writeFileSync(join(checkout, 'package.json'), '{"type":"module"}');
  const script = join(checkout, 'scripts/build.js');
  copyFileSync(fileURLToPath(new URL('../../../scripts/build.js', import.meta.url)), script);
  const { status, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
  t.equal(status, 1);
  t.match(stderr, /^the build needs prisma, tap, typescript: run npm ci --include=dev, .*\n$/);
  t.notOk(existsSync(join(checkout, 'dist')));
});
