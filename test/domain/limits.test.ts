import t from 'tap';
import { createInProcessLimiter } from '../../src/adapters/in-process/attempt-limiter.js';
import { Refusal } from '../../src/domain/errors.js';
import { createGuard } from '../../src/domain/limits.js';

const caller = { ip: '192.0.2.1', place: 'NL', userAgent: null, requestId: null };
const guardOf = (failures: number) => createGuard(createInProcessLimiter({ failures, window: 60, block: 300 }));
const codeOf = (attempt: Promise<string>): Promise<string> => attempt.catch((error: Refusal) => error.code);

t.test('guesses that are sent at once are not answered beyond the limit, the right one included', async (t) => {
  const guard = guardOf(3);
  const guesses = ['no', 'no', 'no', 'no', 'yes', 'no'].map((outcome) => {
    let finish = () => {};
    const hashed = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const answer = guard.secret(caller, async () => {
      await hashed;
      if (outcome === 'no') throw new Refusal('invalid_credentials');
      return outcome;
    });
    return { answer: codeOf(answer), finish: () => finish() };
  });
  const answers: string[] = [];
  for (const { answer, finish } of guesses) {
    finish();
    answers.push(await answer);
  }
  const [wrong, blocked] = ['invalid_credentials', 'too_many_attempts'];
  t.strictSame(answers, [wrong, wrong, wrong, blocked, blocked, blocked]);
});
