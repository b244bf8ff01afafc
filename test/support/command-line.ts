/** The commands in the test's own process, at a terminal of the test's. */
import { callOver } from '../../src/cli/administration.js';
import type { Context } from '../../src/cli/context.js';
import { runProgram } from '../../src/cli/program.js';
import type { App } from '../../src/http/typed.js';
import { noteSecret, noteSecretsOf } from './run-log.js';

export interface Situation {
  /** What somebody at the terminal answers, in order; without it nobody is there. */
  answers?: string[];
  input?: string;
  /** What happens while the command waits, in order. */
  meanwhile?: (() => Promise<unknown>)[];
  /** Nobody else can use the database. */
  alone?: boolean;
}

/** `keyturn …` on these routes. */
export function commandsOn(app: App) {
  async function keyturn(args: string[], { answers, input = '', meanwhile, alone = false }: Situation = {}) {
    const said = { stdout: '', stderr: '', asked: [] as string[] };
    const answer = async (question: string) => {
      said.asked.push(question);
      return answers?.shift() ?? '';
    };
    const context: Context = {
      terminal: {
        print: (text) => {
          said.stdout += `${text}\n`;
        },
        write: async (text) => {
          said.stdout += text;
        },
        note: (text) => {
          said.stderr += `${text}\n`;
        },
        interactive: answers !== undefined,
        ask: answer,
        askSecret: answer,
        readInput: async () => input,
      },
      administration: (work) =>
        work(
          callOver((message) => app.inject(message)),
          alone,
        ),
      // Whoever waits is interrupted when the test has nothing more to happen meanwhile.
      async pause() {
        const next = meanwhile?.shift();
        if (next === undefined) throw new Error('interrupted');
        await next();
      },
    };
    noteSecret(input.trim(), ...(answers ?? []));
    const code = await runProgram(args, context);
    noteSecret(/^(?:password|client_secret|secret) +(\S+)$/m.exec(said.stdout)?.[1]);
    return { code, ...said };
  }

  async function json(args: string[], situation?: Situation) {
    const { code, stdout, stderr } = await keyturn([...args, '--json'], situation);
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${stderr}`);
    noteSecretsOf(stdout);
    return JSON.parse(stdout);
  }

  return { keyturn, json };
}
