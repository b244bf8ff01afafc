// Runs one measurement of bench/. Progress goes to stderr, the table to stdout.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt, root } from './build.js';

const DOCUMENT = join(root, 'docs/bench.md');

ensureBuilt();
const { measurements } = await import('../dist/bench/index.js');

const help = () => `Measures, on this machine and with its own PostgreSQL and Redis.

  npm run bench -- <name> [options]

${Object.entries(measurements)
  .map(([name, { about, options }]) => {
    const flags = Object.entries(options).map(([option, value]) => `--${option} ${value}`);
    return `  ${name.padEnd(18)}${about}\n${' '.repeat(20)}${flags.join(' ')}`;
  })
  .join('\n')}

  --write           put the table into docs/bench.md
  --help            this text

Example: npm run bench -- clean-up --rows 1000000
`;

const undoing = [];
async function undo() {
  for (const work of undoing.splice(0).reverse()) await work();
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => undo().finally(() => process.exit(1)));

function readOptions(measurement) {
  const flag = { type: 'boolean', default: false };
  const numbers = Object.fromEntries(Object.keys(measurement?.options ?? {}).map((name) => [name, { type: 'string' }]));
  const { values } = parseArgs({ options: { ...numbers, write: flag, help: flag }, allowPositionals: true });
  const { write, help, ...given } = values;
  const options = { ...measurement?.options };
  for (const [name, text] of Object.entries(given)) {
    options[name] = Number(text);
    if (!(options[name] > 0)) throw new Error(`--${name}: expected a number above 0`);
  }
  return { options, write, help };
}

function write(name, table) {
  const text = readFileSync(DOCUMENT, 'utf8');
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`].map((mark) => text.indexOf(mark));
  if (start === -1 || end < start) throw new Error(`${DOCUMENT} has no place for ${name}`);
  writeFileSync(DOCUMENT, `${text.slice(0, text.indexOf('\n', start))}\n\n${table}\n\n${text.slice(end)}`);
}

async function main() {
  const [name] = process.argv.slice(2);
  const measurement = Object.hasOwn(measurements, name ?? '') ? measurements[name] : null;
  const { options, write: keep, help: asked } = readOptions(measurement);
  if (asked || measurement === null) {
    (asked ? process.stdout : process.stderr).write(help());
    return asked ? 0 : 2;
  }
  const scope = { teardown: (work) => undoing.push(work) };
  const rows = await measurement.measure(scope, options, (text) => process.stderr.write(`${text}\n`));
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node.js ${process.versions.node}; everything on it`;
  const all = { date: new Date().toISOString().slice(0, 10), machine, ...rows };
  const table = ['|   |   |', '| - | - |', ...Object.entries(all).map((row) => `| ${row.join(' | ')} |`)].join('\n');
  process.stdout.write(`${table}\n`);
  if (keep) write(name, table);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exitCode = 2;
} finally {
  await undo();
}
process.exit();
