import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openList } from '../../../src/adapters/breached-passwords/list.js';
import { sha1 } from '../../../src/adapters/breached-passwords/sha1.js';

const folder = mkdtempSync(join(tmpdir(), 'keyturn-list-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'list.txt');
const none = (problem: string) => t.fail(problem);

const passwords = Array.from({ length: 150 }, (_, i) => `password number ${i}`);
const hashes = passwords.map(sha1).sort();

t.test('every password of the list is found, and no other, however its lines end', async (t) => {
  const spellings: Record<string, (hash: string, i: number) => string> = {
    'with counts': (hash, i) => `${hash}:${i + 1}\r\n`,
    'with long counts': (hash, i) => `${hash}:${10 ** (i % 9)}\n`,
    'without counts': (hash) => `${hash}\n`,
    'in small letters': (hash) => `${hash.toLowerCase()}\n`,
  };
  for (const [name, spell] of Object.entries(spellings)) {
    for (const ending of ['as it is', 'without the last end of a line']) {
      const text = hashes.map(spell).join('');
      writeFileSync(path, ending === 'as it is' ? text : text.trimEnd());
      const list = await openList(path, none);
      const found = await Promise.all(passwords.map((password) => list.has(password)));
      t.ok(
        found.every((is) => is),
        `${name}, ${ending}`,
      );
      const others = await Promise.all(passwords.map((password) => list.has(`${password}!`)));
      t.notOk(others.some((is) => is));
      await list.close();
    }
  }
});

t.test('a list of one or two is a list', async (t) => {
  for (const count of [1, 2]) {
    writeFileSync(path, hashes.slice(0, count).join('\n'));
    const list = await openList(path, none);
    const found = await Promise.all(passwords.map((password) => list.has(password)));
    t.equal(found.filter((is) => is).length, count);
    await list.close();
  }
});

t.test('a file that is no list is told at once', async (t) => {
  const wrong: Record<string, string | null> = {
    'cannot be read (ENOENT)': null,
    'is empty': '',
    'is not a list of SHA-1 in hexadecimal (at byte 0)': 'password\n123456\n',
    'is not in ascending order': `${hashes[1]}:1\n${hashes[0]}:1\n`,
  };
  const [least = '', ...others] = hashes;
  writeFileSync(path, [least, ...others.reverse()].map((hash) => `${hash}:1\n`).join(''));
  await t.rejects(openList(path, none), { message: 'is not in ascending order' }, 'that only begins as one in order');
  for (const [problem, text] of Object.entries(wrong)) {
    if (text === null) rmSync(path, { force: true });
    else writeFileSync(path, text);
    await t.rejects(openList(path, none), { message: problem });
  }
});

t.test('a list that is damaged in the middle keeps nobody out', async (t) => {
  const problems: string[] = [];
  const lines = hashes.map((hash) => `${hash}:1\n`);
  lines.splice(60, 30, 'x'.repeat(20_000));
  writeFileSync(path, lines.join(''));
  const list = await openList(path, (problem) => problems.push(problem));
  const found = await Promise.all(passwords.map((password) => list.has(password)));
  t.ok(found.some((is) => !is));
  t.ok(problems.length > 0);
  await list.close();
});
