/** docs/asvs.md has every requirement of its chapters once, and it and docs/threat-model.md name tests that are there. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { missingTests } from '../support/named-tests.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const read = (name: string) => readFileSync(`${root}docs/${name}`, 'utf8');
const asvs = read('asvs.md');

/** ASVS 5.0.0: how many requirements each section of a chapter has, by level: of the digits each is one requirement. */
const SECTIONS: Record<string, string> = {
  ...{ '6.1': '122', '6.2': '111111112222', '6.3': '11223333', '6.4': '112233', '6.5': '22222333', '6.6': '2223' },
  ...{ '6.7': '33', '6.8': '2222' },
  ...{ '7.1': '222', '7.2': '1111', '7.3': '22', '7.4': '11222', '7.5': '223', '7.6': '22' },
  ...{ '9.1': '111', '9.2': '1222' },
  ...{ '10.1': '22', '10.2': '223', '10.3': '22223', '10.4': '1111122222233333', '10.5': '22222', '10.6': '22' },
  ...{ '10.7': '222' },
};
const requirements = Object.entries(SECTIONS).flatMap(([section, levels]) =>
  [...levels].map((level, i) => ({ number: `${section}.${i + 1}`, level })),
);

const STATUSES = ['met', 'operator', 'n/a', 'gap'];
const rows = [...asvs.matchAll(/^\| (\d+\.\d+\.\d+) \| (.*) \|$/gm)].map(([, number, rest = '']) => {
  const [level = '', , status = '', by = ''] = rest.split(' | ');
  return { number: String(number), level, status, by, cells: rest.split(' | ').length };
});

const FILE = /`(test\/[^`]+\.test\.ts)`/g;
/** A file, and behind it one or more of its tests. */
const namedIn = (text: string) =>
  [...text.matchAll(/`(test\/[^`]+\.test\.ts)`: ((?:“[^”]+”(?:, )?)+)/g)].flatMap(([, file, names = '']) =>
    [...names.matchAll(/“([^”]+)”/g)].map(([, name]) => ({ file: String(file), name: String(name) })),
  );
/** The ones that say of themselves that they check a document. */
const CHECKS = 'test/docs/asvs.test.ts';
const filesIn = (text: string) => new Set([...text.matchAll(FILE)].map(([, file]) => file).filter((f) => f !== CHECKS));

t.test('every requirement of the four chapters is there once, in order, with its level', async (t) => {
  t.equal(requirements.length, 109);
  t.same(
    rows.map(({ number, level }) => ({ number, level })),
    requirements,
  );
});

t.test('every row says what it is, and by what; what is met names a test', async (t) => {
  t.same(
    rows.filter(({ status, by, cells }) => cells !== 4 || !STATUSES.includes(status) || by.length < 5),
    [],
  );
  t.same(
    rows.filter(({ status, by }) => status === 'met' && namedIn(by).length === 0),
    [],
  );
});

t.test('the counts are those of the rows', async (t) => {
  const chapters = ['6', '7', '9', '10'];
  const countOf = (chapter: string | null, status: string) =>
    rows.filter((row) => row.status === status && (chapter === null || row.number.startsWith(`${chapter}.`))).length;
  const line = (head: string, chapter: string | null) =>
    `| ${[head, ...STATUSES.map((status) => countOf(chapter, status))].join(' | ')} |`;
  for (const chapter of chapters) t.match(asvs, line(`V${chapter}`, chapter));
  t.match(asvs, line('all', null));
});

for (const name of ['asvs.md', 'threat-model.md']) {
  t.test(`every test that ${name} names is there`, async (t) => {
    const text = read(name);
    const named = namedIn(text);
    t.ok(named.length > 40);
    t.same(missingTests(named), []);
    t.same(new Set(named.map(({ file }) => file)), filesIn(text), 'of every file a test is named');
  });

  t.test(`every link of ${name} leads somewhere`, async (t) => {
    const slug = (heading: string) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-');
    const links = [...read(name).matchAll(/\]\((?!https:)([^)#]*)(?:#([^)]*))?\)/g)];
    t.ok(links.length > 10);
    for (const [link, file = '', anchor] of links) {
      const target = read(file === '' ? name : file);
      const heads = [...target.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => slug(heading));
      if (anchor !== undefined) t.ok(heads.includes(anchor), link);
    }
  });
}
