/** What is written for people leads somewhere: every link in every document, to its heading. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const FOLDERS = ['bench', 'docs', 'examples', 'keys.example', 'src', 'test'];

const documents = [
  ...readdirSync(root),
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  ),
]
  .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
  .map((name) => join(root, name));

const proseOf = (file: string): string => readFileSync(file, 'utf8').replaceAll(/^ *```.*?^ *```$/gms, '');

/** As GitHub names them: the second of the same name has `-1` at its end. */
function anchorsOf(file: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of proseOf(file).matchAll(/^#+ (.*)$/gm)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const name = text.replaceAll(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-');
    let [anchor, n] = [name, 0];
    while (anchors.has(anchor)) anchor = `${name}-${++n}`;
    anchors.add(anchor);
  }
  return anchors;
}

t.test('every link leads to a file that is there, and to a heading in it', async (t) => {
  const dead: string[] = [];
  let links = 0;
  for (const document of documents) {
    for (const [, link = ''] of proseOf(document).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      links++;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? document : resolve(dirname(document), path);
      const isThere = existsSync(target) && (anchor === undefined || anchorsOf(target).has(anchor));
      if (!isThere) dead.push(`${relative(root, document)}: ${link}`);
    }
  }
  t.same(dead, []);
  t.ok(documents.length > 30 && links > 200, `${links} links in ${documents.length} documents were looked at`);
});
