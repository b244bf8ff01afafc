/** What a command has of the world; tests give it another one. */
import type { Call } from './administration.js';

export interface Terminal {
  /** A line on stdout. */
  print(text: string): void;
  /** A line on stderr. */
  note(text: string): void;
  /** Whether somebody is there to be asked. */
  interactive: boolean;
  ask(question: string): Promise<string>;
  /** The same without showing what is typed. */
  askSecret(question: string): Promise<string>;
  /** All of stdin. */
  readInput(): Promise<string>;
}

export interface Context {
  terminal: Terminal;
  /** Runs `work` on the service that is running, or on its database where none is. */
  administration<T>(work: (call: Call) => Promise<T>): Promise<T>;
}

/** The command was called in a wrong way: exit code 2. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage';
}
