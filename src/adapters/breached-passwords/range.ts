/**
 * A service that is asked by the first five digits of a SHA-1, and answers with the rest of all it knows that begin with
 * them: it does not learn which one was meant (k-anonymity; the protocol of Have I Been Pwned's Pwned Passwords).
 */
import type { BreachedPasswords } from '../../ports/breached-passwords.js';
import { hashIn, sha1 } from './sha1.js';

const PREFIX_LENGTH = 5;
/** For the whole of it. Milliseconds: somebody waits to be registered. */
const TIMEOUT_MS = 1_000;
/** An answer has some 2,000 lines of 40 characters. */
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Questions at one time. Whoever comes beyond that is not kept waiting. */
const MAX_QUESTIONS = 64;

export interface RangeSettings {
  /** Asked at `<url>/range/<prefix>`. */
  url: string;
  onProblem(problem: string): void;
}

async function linesOf(response: Response): Promise<string[]> {
  if (!response.ok || response.body === null) throw new Error(`answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error('answered too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1').split('\n');
}

const meaningOf = (error: unknown): string => {
  const { name, message, cause } = error as Error & { cause?: { code?: string } };
  if (name === 'TimeoutError') return `no answer within ${TIMEOUT_MS} ms`;
  return cause?.code ?? message;
};

export function createRangeCheck({ url, onProblem }: RangeSettings): BreachedPasswords {
  let questions = 0;
  return {
    async has(password) {
      const hash = sha1(password);
      if (questions >= MAX_QUESTIONS) {
        onProblem('too many questions at one time');
        return false;
      }
      questions++;
      try {
        const response = await fetch(`${url}/range/${hash.slice(0, PREFIX_LENGTH)}`, {
          // With padding the length of the answer tells nothing either.
          headers: { 'add-padding': 'true', accept: 'text/plain' },
          redirect: 'error',
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        const rest = hash.slice(PREFIX_LENGTH);
        return (await linesOf(response)).some((line) => hashIn(line) === rest);
      } catch (error) {
        onProblem(meaningOf(error));
        return false;
      } finally {
        questions--;
      }
    },
  };
}
