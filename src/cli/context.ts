/** What a command has of the world; tests give it another one. */
import type { Call } from './administration.js';

export interface Terminal {
  /** A line on stdout. */
  print(text: string): void;
  /** As it is on stdout; resolves when there is room for more. */
  write(text: string): Promise<void>;
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
  /** Runs `work` on the service that is running, or, `alone`, on a folder that nobody else can use meanwhile. */
  administration<T>(work: (call: Call, alone: boolean) => Promise<T>): Promise<T>;
  /** Resolves after so many milliseconds. */
  pause(ms: number): Promise<void>;
}

/** The command was called in a wrong way: exit code 2. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage';
}
