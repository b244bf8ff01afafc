import { spawnSync } from 'node:child_process';
import t from 'tap';
import { isCommonPassword } from '../../../src/adapters/common-passwords/common-passwords.js';

const MODULE = new URL('../../../src/adapters/common-passwords/common-passwords.js', import.meta.url);

t.test('what everybody tries first is common, and what nobody does is not', async (t) => {
  t.equal(await isCommonPassword('password'), true);
  t.equal(await isCommonPassword('a long walk by the sea'), false);
});

t.test('a process that could open no more files when it first needed the list reads it later', async (t) => {
  const script = `import { closeSync, openSync } from 'node:fs';
    const { isCommonPassword } = await import('${MODULE}');
    const files = [];
    try {
      for (;;) files.push(openSync('/dev/null'));
    } catch {}
    const first = await isCommonPassword('password').catch(({ code }) => code);
    for (const file of files) closeSync(file);
    console.log(first, await isCommonPassword('password').catch(({ code }) => code));`;
  const command = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"';
  const { stdout } = spawnSync('sh', ['-c', command, process.execPath, script], { encoding: 'utf8' });
  t.equal(stdout, 'EMFILE true\n');
});
