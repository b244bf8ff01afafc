// Runs one measurement of bench/. Progress goes to stderr, the table to stdout.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt, root } from './build.js';
import { keep, machine, run, today } from './measured.js';

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

  --write           put the table, and what is drawn, into docs/
  --help            this text

  hot-path          what a refresh costs, and all that belongs to it: npm run bench -- hot-path --help

Example: npm run bench -- clean-up --rows 1000000
`;

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

async function main(scope) {
  const [name] = process.argv.slice(2);
  const measurement = Object.hasOwn(measurements, name ?? '') ? measurements[name] : null;
  const { options, write, help: asked } = readOptions(measurement);
  if (asked || measurement === null) {
    (asked ? process.stdout : process.stderr).write(help());
    return asked ? 0 : 2;
  }
  const say = (text) => process.stderr.write(`${text}\n`);
  const drawings = new Map();
  const rows = await measurement.measure(scope, options, say, (file, svg) => drawings.set(file, svg));
  const all = { date: today(), machine: machine(), 'Node.js': process.versions.node, ...rows };
  const table = ['|   |   |', '| - | - |', ...Object.entries(all).map((row) => `| ${row.join(' | ')} |`)].join('\n');
  process.stdout.write(`${table}\n`);
  if (write) {
    keep(measurement.document ?? 'bench.md', name, table);
    for (const [file, svg] of drawings) writeFileSync(join(root, 'docs', file), svg);
  }
  return 0;
}

// It has parts, and options of its own.
await run(process.argv[2] === 'hot-path' ? (await import('./hot-path.js')).main : main);
