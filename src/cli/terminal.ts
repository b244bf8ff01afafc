/** The terminal of this process. Questions go to stderr, so that stdout has nothing but the command's own output. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Terminal } from './context.js';

const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });

const prompt = (question: string, echo: NodeJS.WritableStream): Promise<string> =>
  new Promise((resolve, reject) => {
    const lines = createInterface({ input: process.stdin, output: echo, terminal: true, prompt: question });
    if (echo === nowhere) process.stderr.write(question);
    lines.prompt();
    let answer: string | null = null;
    lines.once('line', (line) => {
      answer = line;
      lines.close();
    });
    lines.once('close', () => {
      if (echo === nowhere) process.stderr.write('\n');
      if (answer === null) reject(new Error('nothing was done'));
      else resolve(answer);
    });
  });

export const terminal: Terminal = {
  print: (text) => console.log(text),
  write: (text) =>
    new Promise((resolve, reject) => {
      // The callback is told, too; an event that nobody hears would end the process with a stack.
      if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {});
      process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
    }),
  note: (text) => console.error(text),
  interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
  ask: (question) => prompt(question, process.stderr),
  askSecret: (question) => prompt(question, nowhere),
  async readInput() {
    let text = '';
    for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
    return text;
  },
};
