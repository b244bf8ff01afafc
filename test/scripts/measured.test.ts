import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const MEASURED = new URL('../../../scripts/measured.js', import.meta.url);

/** As a script of its own, since it ends its process. */
const ran = (main: string) =>
  spawnSync(process.execPath, ['--input-type=module', '-e', `(await import('${MEASURED}')).run(${main});`], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    encoding: 'utf8',
  });

const noted = `scope.teardown(() => process.stdout.write('the first is stopped. '));
  scope.teardown(() => Promise.reject(new Error('the second has never started')));
  scope.teardown(() => process.stdout.write('the third is stopped, '));`;

t.test('what was started is stopped, the last first, also where one of it cannot be', async (t) => {
  for (const end of ['return 0', "throw new Error('it cannot be measured')"]) {
    const { status, stdout, stderr } = ran(`async (scope) => { ${noted} ${end} }`);
    t.equal(stdout, 'the third is stopped, the first is stopped. ', end);
    t.match(stderr, /the second has never started/);
    t.equal(status, 2);
  }
});
