import t from 'tap';
import { KINDS } from '../../../bench/anomalies/thefts.js';
import { episodes, runTrial } from '../../../bench/anomalies/trial.js';
import { LEVELS } from '../../../src/domain/anomalies/policy.js';

/** The small version of `npm run bench -- anomalies`. */
const setup = { seed: 11, users: 30, weeks: 7 };
const trial = runTrial(setup, () => {});

t.test('most thieves in another continent are flagged at their first use, and hardly any user', async (t) => {
  const far = trial.thefts.filter(({ kind }) => kind === 'another continent');
  const found = far.filter(({ scores }) => (scores[0] ?? 0) >= LEVELS.flag);
  t.ok(far.length >= 50, 'thefts');
  t.ok(found.length / far.length > 0.75, `${found.length} of ${far.length}`);
  t.ok(episodes(trial.honest, LEVELS.flag).length <= 1, `in ${trial.userWeeks} user-weeks`);
});

t.test('thefts of all kinds are tried, and the nearer the thief, the fewer are found', async (t) => {
  const share = KINDS.map((kind) => {
    const thefts = trial.thefts.filter((theft) => theft.kind === kind);
    t.ok(thefts.length > 30, kind);
    return thefts.filter(({ scores }) => (scores[0] ?? 0) >= LEVELS.flag).length / thefts.length;
  });
  const [far = 0, , , country = 0, , network = 0] = share;
  t.ok(far > country && country > network);
});

t.test('a seed repeats a trial', async (t) => {
  const small = { seed: 3, users: 3, weeks: 4 };
  const { micros: _, ...first } = runTrial(small, () => {});
  const { micros: __, ...second } = runTrial(small, () => {});
  t.strictSame(first, second);
});
