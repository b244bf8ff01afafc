/** docs/refresh.md names a test for each claim: that the test is there is checked here. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { missingTests } from '../support/named-tests.js';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const text = readFileSync(join(root, 'docs/refresh.md'), 'utf8');
const notes = [...text.matchAll(/^\[\^(\d+)\]: `([^`]+)`: “([^”]+)”$/gm)].map(([, number, file, name]) => ({
  number: String(number),
  file: String(file),
  name: String(name),
}));

t.test('every note names a test that is there', async (t) => {
  t.ok(notes.length > 20);
  t.same(missingTests(notes), []);
});

t.test('every note is used, and every number has its note', async (t) => {
  const used = new Set([...text.matchAll(/\[\^(\d+)\](?!:)/g)].map(([, number]) => String(number)));
  t.same([...used].sort(), notes.map(({ number }) => number).sort());
});
