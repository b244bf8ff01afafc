/** docs/refresh.md names a test for each claim: that the test is there is checked here. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const text = readFileSync(join(root, 'docs/refresh.md'), 'utf8');
const notes = [...text.matchAll(/^\[\^(\d+)\]: `([^`]+)`: “([^”]+)”$/gm)].map(([, number, file, name]) => ({
  number: String(number),
  file: String(file),
  name: String(name),
}));

/** `…` stands for what a test's name is filled in with. */
function isIn(source: string, name: string): boolean {
  const parts = name.split('…').map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`['\`]${parts.join('.*')}['\`]`).test(source);
}

t.test('every note names a test that is there', async (t) => {
  t.ok(notes.length > 20);
  const missing = notes.filter(({ file, name }) => !isIn(readFileSync(join(root, file), 'utf8'), name));
  t.same(missing, []);
});

t.test('every note is used, and every number has its note', async (t) => {
  const used = new Set([...text.matchAll(/\[\^(\d+)\](?!:)/g)].map(([, number]) => String(number)));
  t.same([...used].sort(), notes.map(({ number }) => number).sort());
});
