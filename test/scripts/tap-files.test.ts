/** How test files are run: whatever keeps one from saying that all is well counts as a failure. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../support/process.js';

interface Result {
  file: string;
  passed: number;
  skips: string[];
  failures: { name: string }[];
  problem: string | null;
  stderr: string;
}
const script = new URL('../../../scripts/tap-files.js', import.meta.url).href;
const { runFiles } = await import(script);

const print = (...lines: string[]) => `console.log(${JSON.stringify(lines.join('\n'))});`;
const good = print('1..1', 'ok 1 - fine');
const forever = 'setInterval(() => {}, 1000);';
const leftBehind = "import { spawn } from 'node:child_process'; spawn('sleep', ['60'], { stdio: 'inherit' }).unref();";

const expected: Record<string, [content: string, result: Partial<Result>]> = {
  passes: [good, { passed: 1, failures: [], problem: null }],
  nested: [
    print('# Subtest: a', '    ok 1 - b', '    not ok 2 - c', '    1..2', 'not ok 1 - a', '1..1'),
    { passed: 1, failures: [{ name: 'a > c' }], problem: null },
  ],
  skips: [print('ok 1 - a # SKIP no server', '1..1'), { passed: 0, skips: ['no server'], problem: null }],
  crashes: [`${good}\nsetTimeout(() => { throw new Error('late') })`, { problem: 'ended with 1' }],
  'ends early': [print('ok 1 - a'), { failures: [], problem: 'no plan' }],
  'is killed': [`${good}\nprocess.kill(process.pid, 'SIGKILL');\n${forever}`, { problem: 'ended by SIGKILL' }],
  'never ends': [`${good}\n${forever}`, { problem: 'ended by SIGKILL' }],
  'asserts nothing': [print('hello'), { problem: 'nothing was asserted' }],
  'leaves a process behind': [`${leftBehind}\n${good}`, { passed: 1, problem: null }],
};

t.test('a file is what it asserts, and a failure if it ends in any other way than it should', async (t) => {
  const cwd = temporaryFolder(t);
  const names = Object.keys(expected);
  const files = names.map((_, n) => `${n}.mjs`);
  for (const [n, name] of names.entries()) writeFileSync(join(cwd, `${n}.mjs`), expected[name]?.[0] ?? '');
  const results: Result[] = [];
  const options = { jobs: 2, cwd, env: process.env, timeoutS: 2, graceMs: 0, stop: new AbortController().signal };
  await runFiles(files, options, (result: Result) => results.push(result));
  for (const [n, name] of names.entries()) {
    const result = results.find(({ file }) => file === files[n]);
    t.match(result, expected[name]?.[1], name);
  }
  t.match(results.find(({ file }) => file === files[names.indexOf('crashes')])?.stderr, 'late');
});
