// What the scripts share that measure or prove something: where a result is made, where it is kept, and what is undone.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { root } from './build.js';

export const machine = () =>
  `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; everything on it`;

export const today = () => new Date().toISOString().slice(0, 10);

/** `3 × this, 1 × that` */
export const list = (counts) =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([what, times]) => `${times} × ${what}`)
    .join(', ');

/** Puts the table where the document has `<!-- name -->` and `<!-- /name -->`. */
export function keep(document, name, table) {
  const path = join(root, 'docs', document);
  const text = readFileSync(path, 'utf8');
  const marks = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [start, end] = marks.map((mark) => text.indexOf(mark));
  if (start === -1 || end < start) throw new Error(`${path} has no place for ${name}`);
  writeFileSync(path, `${text.slice(0, start + marks[0].length)}\n\n${table}\n\n${text.slice(end)}`);
}

/** Runs `main`, which resolves to the exit code, and undoes what it has noted in its scope, however it ends. */
export async function run(main) {
  const undoing = [];
  const undoAll = async () => {
    for (let work = undoing.pop(); work !== undefined; work = undoing.pop()) {
      try {
        await work();
      } catch (error) {
        // Such as of a server that never started: the others are to be stopped all the same.
        process.stderr.write(`${error.stack ?? error}\n`);
        process.exitCode = 2;
      }
    }
  };
  // Whoever asks for it waits for all of it, though somebody else has begun.
  let undone;
  const undo = () => {
    undone ??= undoAll();
    return undone;
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => undo().finally(() => process.exit(1)));
  try {
    process.exitCode = await main({ teardown: (work) => undoing.push(work) });
  } catch (error) {
    process.stderr.write(`${error.stack ?? error}\n`);
    process.exitCode = 2;
  } finally {
    await undo();
  }
  process.exit();
}
